//! What users may do: commands, keys, channels and databases, in transactions and scripts too.

use crate::acl::conversation;

#[test]
fn users_authenticate() {
    conversation(
        r##"
        ACL SETUSER a >p1 +@all ~* => +OK~
        1: AUTH a p1 => -WRONGPASS invalid username-password pair or user is disabled.~
        ACL SETUSER a on => +OK~
        1: AUTH a wrong => -WRONGPASS invalid username-password pair or user is disabled.~
        1: AUTH nobody p1 => -WRONGPASS invalid username-password pair or user is disabled.~
        1: AUTH "a\x00" p1 => -WRONGPASS invalid username-password pair or user is disabled.~
        1: AUTH p1 => -ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?~
        1: AUTH a => -ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?~
        1: AUTH => -ERR wrong number of arguments for 'auth' command~
        1: AUTH a b c => -ERR syntax error~
        1: AUTH a p1 => +OK~
        1: ACL WHOAMI => $1~a~
        ACL SETUSER a >p2 <p1 => +OK~
        1: AUTH a p1 => -WRONGPASS invalid username-password pair or user is disabled.~
        1: ACL WHOAMI => $1~a~
        1: AUTH a p2 => +OK~
        ACL SETUSER a nopass => +OK~
        2: AUTH a whatever => +OK~
        ACL SETUSER a off => +OK~
        2: PING => +PONG~
        2: AUTH a whatever => -WRONGPASS invalid username-password pair or user is disabled.~
        2: RESET => +RESET~
        2: ACL WHOAMI => $7~default~
        1: HELLO 2 AUTH a p2 => -WRONGPASS invalid username-password pair or user is disabled.~
        1: HELLO 2 AUTH default => -ERR Syntax error in HELLO option 'AUTH'~
        ACL SETUSER a on >pw => +OK~
        ACL SETUSER b on >pw => +OK~
        2: HELLO 3 AUTH a wrong AUTH b pw SETNAME me => *
        2: ACL WHOAMI => -NOPERM User b has no permissions to run the 'acl|whoami' command~
        2: CLIENT GETNAME => -NOPERM User b has no permissions to run the 'client|getname' command~
        2: HELLO 3 AUTH a pw AUTH b wrong SETNAME you => -WRONGPASS invalid username-password pair or user is disabled.~
        2: CLIENT GETNAME => -NOPERM User b has no permissions to run the 'client|getname' command~
        "##,
    );
}

#[test]
fn the_default_user_has_a_password() {
    conversation(
        r##"
        ACL SETUSER default >pw => +OK~
        ACL WHOAMI => $7~default~
        CONFIG GET requirepass => *2~$11~requirepass~$0~~
        1: PING => -NOAUTH Authentication required.~
        1: EXEC => -EXECABORT Transaction discarded because of: NOAUTH Authentication required.~
        1: HELLO 3 => -NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time~
        1: ACL WHOAMI => -NOAUTH Authentication required.~
        1: AUTH nobody pw => -WRONGPASS invalid username-password pair or user is disabled.~
        1: AUTH pw => +OK~
        1: PING => +PONG~
        CONFIG SET requirepass new => +OK~
        CONFIG GET requirepass => *2~$11~requirepass~$3~new~
        ACL LIST => *1~$93~user default on #11507a0e2f5e69d5dfa40a62a1bd7b6ee57e6bcd85c67c9b8431b36fff21c437 ~* &* +@all~
        1: PING => +PONG~
        1: RESET => +RESET~
        1: PING => -NOAUTH Authentication required.~
        1: AUTH pw => -WRONGPASS invalid username-password pair or user is disabled.~
        1: AUTH default new => +OK~
        1: PING => +PONG~
        ACL SETUSER default resetpass >y => +OK~
        CONFIG SET timeout 0 => +OK~
        2: AUTH new => -WRONGPASS invalid username-password pair or user is disabled.~
        2: AUTH y => +OK~
        CONFIG GET requirepass => *2~$11~requirepass~$3~new~
        CONFIG SET requirepass "" => +OK~
        ACL LIST => *1~$34~user default on nopass ~* &* +@all~
        3: PING => +PONG~
        3: AUTH y => -ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?~
        3: AUTH default y => +OK~
        ACL SETUSER default off => +OK~
        4: PING => -NOAUTH Authentication required.~
        4: AUTH default x => -WRONGPASS invalid username-password pair or user is disabled.~
        3: PING => +PONG~
        ACL SETUSER default on -@all +acl|setuser => +OK~
        5: PING => -NOPERM User default has no permissions to run the 'ping' command~
        5: AUTH x => -ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?~
        5: QUIT => +OK~
        3: PING => -NOPERM User default has no permissions to run the 'ping' command~
        3: RESET => +RESET~
        3: ACL WHOAMI => -NOPERM User default has no permissions to run the 'acl|whoami' command~
        ACL SETUSER default +@all => +OK~
        "##,
    );
}

#[test]
fn commands_are_checked() {
    conversation(
        r##"
        ACL SETUSER a on nopass ~* +@read +select|0 +config|get -mget => +OK~
        1: AUTH a x => +OK~
        1: GET k => $-1~
        1: get k => $-1~
        1: MGET k => -NOPERM User a has no permissions to run the 'mget' command~
        1: SET k v => -NOPERM User a has no permissions to run the 'set' command~
        1: SELECT 0 => +OK~
        1: SELECT 1 => -NOPERM User a has no permissions to run the 'select' command~
        1: CONFIG GET nosuch => *0~
        1: CONFIG SET timeout 0 => -NOPERM User a has no permissions to run the 'config|set' command~
        1: CONFIG NOSUCH => -ERR unknown subcommand 'NOSUCH'. Try CONFIG HELP.~
        1: CONFIG => -ERR wrong number of arguments for 'config' command~
        1: NOSUCH => -ERR unknown command 'NOSUCH', with args beginning with: ~
        1: GET => -ERR wrong number of arguments for 'get' command~
        1: EXEC => -EXECABORT Transaction discarded because of: NOPERM User a has no permissions to run the 'exec' command~
        ACL SETUSER a -@all +get|x => +OK~
        1: GET x => $-1~
        1: GET X => $-1~
        1: GET y => -NOPERM User a has no permissions to run the 'get' command~
        ACL SETUSER a allcommands -@string => +OK~
        1: SET k v => -NOPERM User a has no permissions to run the 'set' command~
        1: HSET h f v => :1~
        ACL SETUSER a +@all -acl => +OK~
        1: ACL WHOAMI => -NOPERM User a has no permissions to run the 'acl|whoami' command~
        1: ACL CAT => -NOPERM User a has no permissions to run the 'acl|cat' command~
        "##,
    );
}

#[test]
fn keys_are_checked() {
    conversation(
        r##"
        ACL SETUSER a on nopass +@all %R~r* %W~w* ~b* => +OK~
        1: AUTH a x => +OK~
        1: GET r => $-1~
        1: GET w => -NOPERM No permissions to access a key~
        1: GET b => $-1~
        1: GET x => -NOPERM No permissions to access a key~
        1: SET r v => -NOPERM No permissions to access a key~
        1: SET w v => +OK~
        1: SET w v GET => -NOPERM No permissions to access a key~
        1: SET w v EX GET => -NOPERM No permissions to access a key~
        1: SET b v GET => $-1~
        1: APPEND r x => -NOPERM No permissions to access a key~
        1: APPEND w x => :2~
        1: EXISTS r w b => :2~
        1: EXISTS x => -NOPERM No permissions to access a key~
        1: STRLEN w => :2~
        1: COPY r w => :0~
        1: COPY w r => -NOPERM No permissions to access a key~
        1: MGET r b x r => -NOPERM No permissions to access a key~
        1: BITFIELD r GET u4 0 => *1~:0~
        1: BITFIELD r GET u4 0 SET u4 0 1 => -NOPERM No permissions to access a key~
        1: BITFIELD w SET u4 0 1 => -NOPERM No permissions to access a key~
        1: BITFIELD b SET u4 0 1 => *1~:7~
        1: EVAL "return 1" 1 r => -NOPERM No permissions to access a key~
        1: EVAL_RO "return 1" 1 r => :1~
        1: EVAL "return 1" 1 b => :1~
        1: EVAL "return 1" 0 x => :1~
        1: SINTERCARD 2 r w => -NOPERM No permissions to access a key~
        1: SORT r STORE w => :0~
        1: SORT r STORE r => -NOPERM No permissions to access a key~
        1: WATCH x => -NOPERM No permissions to access a key~
        1: WATCH w => +OK~
        1: KEYS x => *0~
        1: DEL r => -NOPERM No permissions to access a key~
        1: UNLINK b => :1~
        1: XREAD STREAMS r x 0 0 => -NOPERM No permissions to access a key~
        1: XREADGROUP GROUP g c STREAMS r 0 => -NOGROUP No such key 'r' or consumer group 'g' in XREADGROUP with GROUP option~
        1: GEOSEARCHSTORE w r FROMLONLAT 1 1 BYRADIUS 1 m => :0~
        1: GEORADIUS r 1 1 1 m STORE w => :0~
        1: GEORADIUS r 1 1 1 m STORE r => -NOPERM No permissions to access a key~
        1: LMOVE b r LEFT LEFT => -NOPERM No permissions to access a key~
        "##,
    );
}

#[test]
fn a_selector_allows_as_a_whole() {
    conversation(
        r##"
        ACL SETUSER a on nopass +get ~a (+copy %R~r ~b) (+copy %W~w ~b) => +OK~
        1: AUTH a x => +OK~
        1: GET a => $-1~
        1: GET b => -NOPERM No permissions to access a key~
        1: SET a v => -NOPERM User a has no permissions to run the 'set' command~
        1: COPY r b => :0~
        1: COPY b w => :0~
        1: COPY r w => -NOPERM No permissions to access a key~
        1: COPY a b => -NOPERM No permissions to access a key~
        ACL LOG RESET => +OK~
        ACL SETUSER a +mget (+mget ~a ~c) => +OK~
        1: MGET c d => -NOPERM No permissions to access a key~
        1: MGET a c d => -NOPERM No permissions to access a key~
        ACL DRYRUN a MGET c d => $47~User a has no permissions to access the 'd' key~
        ACL DRYRUN a MGET a c d => $47~User a has no permissions to access the 'd' key~
        ACL SETUSER b on nopass (+@write ~w:*) (+@read ~r:*) => +OK~
        2: AUTH b x => +OK~
        2: PING => -NOPERM User b has no permissions to run the 'ping' command~
        2: SET w:1 v => +OK~
        2: SET r:1 v => -NOPERM No permissions to access a key~
        2: GET w:1 => -NOPERM No permissions to access a key~
        2: GET r:1 => $-1~
        "##,
    );
}

#[test]
fn channels_are_checked() {
    conversation(
        r##"
        ACL SETUSER a on nopass +@all &foo:1 &bar:* => +OK~
        1: AUTH a x => +OK~
        1: PUBLISH foo:1 m => :0~
        1: PUBLISH bar:2 m => :0~
        1: PUBLISH zap:3 m => -NOPERM No permissions to access a channel~
        1: SPUBLISH bar:2 m => :0~
        1: SPUBLISH zap:3 m => -NOPERM No permissions to access a channel~
        1: MULTI => +OK~
        1: SUBSCRIBE nosuch foo:1 => -NOPERM No permissions to access a channel~
        1: PSUBSCRIBE nosuch:* bar:* => -NOPERM No permissions to access a channel~
        1: DISCARD => +OK~
        1: UNSUBSCRIBE nosuch => *3~$11~unsubscribe~$6~nosuch~:0~
        1: SUNSUBSCRIBE nosuch => *3~$12~sunsubscribe~$6~nosuch~:0~
        1: PUNSUBSCRIBE nosuch => *3~$12~punsubscribe~$6~nosuch~:0~
        2: AUTH a x => +OK~
        2: SUBSCRIBE foo:1 => *3~$9~subscribe~$5~foo:1~:1~
        2: SUBSCRIBE bar:2 => *3~$9~subscribe~$5~bar:2~:2~
        2: SUBSCRIBE zap:3 => -NOPERM No permissions to access a channel~
        2: SUBSCRIBE foo:1 zap:3 => -NOPERM No permissions to access a channel~
        2: PSUBSCRIBE foo:1 => *3~$10~psubscribe~$5~foo:1~:3~
        2: PSUBSCRIBE bar:* => *3~$10~psubscribe~$5~bar:*~:4~
        2: PSUBSCRIBE bar:baz => -NOPERM No permissions to access a channel~
        2: PSUBSCRIBE * => -NOPERM No permissions to access a channel~
        2: SSUBSCRIBE bar:4 => *3~$10~ssubscribe~$5~bar:4~:1~
        2: SSUBSCRIBE zap:3 => -NOPERM No permissions to access a channel~
        ACL SETUSER b on nopass +@all => +OK~
        3: AUTH b x => +OK~
        3: PUBLISH a m => -NOPERM No permissions to access a channel~
        3: SUBSCRIBE a => -NOPERM No permissions to access a channel~
        "##,
    );
}

#[test]
fn databases_are_checked() {
    conversation(
        r##"
        ACL SETUSER a on nopass ~* +@all db=1,2 => +OK~
        1: AUTH a x => +OK~
        1: GET k => -NOPERM No permissions to access database~
        1: PING => +PONG~
        1: ECHO x => $1~x~
        1: DBSIZE => -NOPERM No permissions to access database~
        1: SCAN 0 => -NOPERM No permissions to access database~
        1: OBJECT HELP => -NOPERM No permissions to access database~
        1: EVAL "return 1" 0 => -NOPERM No permissions to access database~
        1: SELECT 0 => -NOPERM No permissions to access database~
        1: SELECT 1 => +OK~
        1: SET k v => +OK~
        1: SELECT 0 => -NOPERM No permissions to access database~
        1: SELECT 99 => -ERR DB index is out of range~
        1: SELECT -1 => -ERR DB index is out of range~
        1: SELECT x => -ERR value is not an integer or out of range~
        1: SELECT 2 => +OK~
        1: SELECT 1 => +OK~
        1: COPY k l => :1~
        1: COPY k l DB 2 => :1~
        1: COPY k l DB 3 => -NOPERM No permissions to access database~
        1: COPY k l DB 3 DB 2 => -NOPERM No permissions to access database~
        1: COPY k l REPLACE db 3 => -NOPERM No permissions to access database~
        1: COPY k l DB x => -ERR value is not an integer or out of range~
        1: MOVE k 2 => :1~
        1: MOVE l 3 => -NOPERM No permissions to access database~
        1: MOVE l 99 => -ERR DB index is out of range~
        1: SWAPDB 1 2 => +OK~
        1: SWAPDB 1 3 => -NOPERM No permissions to access database~
        1: SWAPDB 3 1 => -NOPERM No permissions to access database~
        1: SWAPDB x y => -ERR invalid first DB index~
        1: FLUSHDB => +OK~
        1: FLUSHALL => -NOPERM No permissions to access database~
        1: MULTI => +OK~
        1: SELECT 0 => -NOPERM No permissions to access database~
        1: EXEC => -EXECABORT Transaction discarded because of previous errors.~
        1: MULTI => +OK~
        1: SELECT 2 => +QUEUED~
        1: SET k v => +QUEUED~
        1: EXEC => *2~+OK~+OK~
        1: RESET => +RESET~
        1: AUTH a x => +OK~
        1: SWAPDB 1 2 => +OK~
        1: MOVE a 1 => -NOPERM No permissions to access database~
        1: COPY a b DB 1 => -NOPERM No permissions to access database~
        ACL SETUSER a db=0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15 => +OK~
        1: FLUSHALL => +OK~
        ACL SETUSER a db=1 => +OK~
        ACL DRYRUN a GET k => $48~User a has no permissions to access database GET~
        ACL DRYRUN a SELECT 0 => $46~User a has no permissions to access database 0~
        ACL DRYRUN a SELECT 1 => +OK~
        ACL DRYRUN a FLUSHALL => $53~User a has no permissions to access database FLUSHALL~
        ACL DRYRUN a SWAPDB 1 2 => $46~User a has no permissions to access database 2~
        ACL SETUSER a +@all resetkeys ~a db=1 => +OK~
        1: GET x => -NOPERM No permissions to access database~
        1: SELECT 1 => +OK~
        1: GET x => -NOPERM No permissions to access a key~
        1: COPY a x DB 2 => -NOPERM No permissions to access database~
        "##,
    );
}

#[test]
fn transactions_are_checked_twice() {
    conversation(
        r##"
        ACL SETUSER a on nopass ~* &* +@all => +OK~
        1: AUTH a x => +OK~
        1: MULTI => +OK~
        1: SET k v => +QUEUED~
        1: GET k => +QUEUED~
        1: PUBLISH c m => +QUEUED~
        ACL SETUSER a -set resetkeys resetchannels => +OK~
        1: EXEC => *3~-NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. This command is no longer allowed for the following reason: no permission to execute the command or subcommand~-NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. This command is no longer allowed for the following reason: no permission to touch the specified keys~-NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. This command is no longer allowed for the following reason: no permission to access one of the channels used as arguments~
        ACL SETUSER a ~* +@all => +OK~
        1: MULTI => +OK~
        1: PUBLISH c m => -NOPERM No permissions to access a channel~
        1: EXEC => -EXECABORT Transaction discarded because of previous errors.~
        1: GET k => $-1~
        1: MULTI => +OK~
        1: SET k v => +QUEUED~
        ACL SETUSER a -exec => +OK~
        1: EXEC => -EXECABORT Transaction discarded because of: NOPERM User a has no permissions to run the 'exec' command~
        1: EXEC => -EXECABORT Transaction discarded because of: NOPERM User a has no permissions to run the 'exec' command~
        1: DISCARD => -ERR DISCARD without MULTI~
        ACL SETUSER a +@all => +OK~
        1: MULTI => +OK~
        1: SELECT 1 => +QUEUED~
        1: SET k v => +QUEUED~
        ACL SETUSER a db=0 => +OK~
        1: EXEC => *2~-NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. This command is no longer allowed for the following reason: no permission~+OK~
        1: MULTI => +OK~
        1: PING => +QUEUED~
        1: AUTH a x => +QUEUED~
        1: AUTH default x => +QUEUED~
        1: ACL WHOAMI => +QUEUED~
        1: EXEC => *4~+PONG~+OK~+OK~$7~default~
        1: ACL WHOAMI => $7~default~
        "##,
    );
}

#[test]
fn scripts_are_checked() {
    conversation(
        r##"
        ACL SETUSER a on nopass ~k &c +@all -set => +OK~
        1: AUTH a x => +OK~
        1: EVAL "return redis.call('set','k','1')" 0 => -ERR ACL failure in script: User a has no permissions to run the 'set' command script: on @user_script:1.~
        1: EVAL "return redis.pcall('set','k','1')" 0 => -ERR ACL failure in script: User a has no permissions to run the 'set' command~
        1: EVAL "return redis.call('get','x')" 0 => -ERR ACL failure in script: No permissions to access a key script: on @user_script:1.~
        1: EVAL "return redis.call('get','k')" 0 => $-1~
        1: EVAL "return redis.call('publish','x','m')" 0 => -ERR ACL failure in script: No permissions to access a channel script: on @user_script:1.~
        1: EVAL "return redis.call('config','get','x')" 0 => -ERR This Valkey command is not allowed from script script: on @user_script:1.~
        1: EVAL "return {redis.acl_check_cmd('set','k','1'), redis.acl_check_cmd('get','x'), redis.acl_check_cmd('get','k'), redis.acl_check_cmd('get')}" 0 => *4~$-1~$-1~:1~:1~
        1: EVAL "return server.acl_check_cmd('config', 'get')" 0 => :1~
        1: EVAL "return redis.acl_check_cmd('config', 'nosuch')" 0 => -ERR Invalid command passed to server.acl_check_cmd() script: on @user_script:1.~
        1: EVAL "return redis.acl_check_cmd('nosuch')" 0 => -ERR Invalid command passed to server.acl_check_cmd() script: on @user_script:1.~
        1: EVAL "return redis.acl_check_cmd()" 0 => -ERR Please specify at least one argument for this call script: on @user_script:1.~
        1: EVAL "return redis.acl_check_cmd('get', {})" 0 => -ERR Command arguments must be strings or integers script: on @user_script:1.~
        1: FUNCTION LOAD "#!lua name=l\nredis.register_function('f', function(k,a) return redis.call('set', 'k', 'x') end) redis.register_function('g', function(k,a) return {redis.acl_check_cmd('set','k','1'), redis.acl_check_cmd('get','k')} end)" => $1~l~
        1: FCALL f 0 => -ERR ACL failure in script: User a has no permissions to run the 'set' command script: on @user_function:2.~
        1: FCALL g 0 => *2~$-1~:1~
        FUNCTION FLUSH => +OK~
        ACL SETUSER a db=0 => +OK~
        1: EVAL "return redis.call('select', 1)" 0 => -ERR ACL failure in script: No permissions to access database script: on @user_script:1.~
        1: EVAL "return redis.pcall('select', 1)" 0 => -ERR ACL failure in script: No permissions to access database~
        ACL SETUSER b on nopass +@all ~* -eval -@scripting => +OK~
        2: AUTH b x => +OK~
        2: EVAL "return 1" 0 => -NOPERM User b has no permissions to run the 'eval' command~
        2: SCRIPT EXISTS x => -NOPERM User b has no permissions to run the 'script|exists' command~
        "##,
    );
}

#[test]
fn blocked_clients_are_checked_again() {
    conversation(
        r##"
        ACL SETUSER a on nopass ~* +@all => +OK~
        1: AUTH a x => +OK~
        1: BLPOP l 0 =wait
        ACL SETUSER a resetkeys => +OK~
        RPUSH l x => :1~
        1: =next => -NOPERM No permissions to access a key~
        1: PING => +PONG~
        ACL SETUSER a ~* => +OK~
        1: BLPOP l2 0 =wait
        ACL SETUSER a -blpop => +OK~
        RPUSH l2 x => :1~
        1: =next => -NOPERM User a has no permissions to run the 'blpop' command~
        ACL SETUSER a +blpop off => +OK~
        1: BLPOP l3 0 =wait
        RPUSH l3 x => :1~
        1: =next => *2~$2~l3~$1~x~
        1: BLPOP l4 0 =wait
        ACL DELUSER a => :1~
        1: =closed
        LRANGE l 0 -1 => *1~$1~x~
        "##,
    );
}

#[test]
fn who_may_not_hear_any_more_is_cut() {
    conversation(
        r##"
        ACL SETUSER a on nopass +@all resetchannels &foo:1 => +OK~
        1: AUTH a x => +OK~
        1: SUBSCRIBE foo:1 => *3~$9~subscribe~$5~foo:1~:1~
        ACL SETUSER a resetchannels => +OK~
        1: =closed
        ACL SETUSER a &foo:1 => +OK~
        1: AUTH a x => +OK~
        1: SSUBSCRIBE foo:1 => *3~$10~ssubscribe~$5~foo:1~:1~
        ACL SETUSER a resetchannels => +OK~
        1: =closed
        ACL SETUSER a &bar:* => +OK~
        1: AUTH a x => +OK~
        1: PSUBSCRIBE bar:* => *3~$10~psubscribe~$5~bar:*~:1~
        ACL SETUSER a resetchannels &bar:1 => +OK~
        1: =closed
        ACL SETUSER a allchannels => +OK~
        1: AUTH a x => +OK~
        1: PSUBSCRIBE foo => *3~$10~psubscribe~$3~foo~:1~
        ACL SETUSER a resetchannels => +OK~
        1: =closed
        ACL SETUSER a &foo:1 &bar:* &orders => +OK~
        1: AUTH a x => +OK~
        1: SUBSCRIBE foo:1 => *3~$9~subscribe~$5~foo:1~:1~
        1: SSUBSCRIBE orders => *3~$10~ssubscribe~$6~orders~:1~
        1: PSUBSCRIBE bar:* => *3~$10~psubscribe~$5~bar:*~:2~
        ACL SETUSER a resetchannels &foo:1 &bar:* &orders &baz:qaz &zoo:* => +OK~
        ACL SETUSER a allchannels => +OK~
        ACL SETUSER a resetchannels &foo:* &bar:* &orders => +OK~
        1: PING => *2~$4~pong~$0~~
        2: HELLO 3 AUTH a x => *
        2: SUBSCRIBE foo:2 => >3~$9~subscribe~$5~foo:2~:1~
        2: ACL SETUSER a resetchannels => +OK~
        2: =closed
        1: =closed
        "##,
    );
}

#[test]
fn users_that_go_take_their_connections_along() {
    conversation(
        r##"
        ACL SETUSER a on nopass +@all ~* => +OK~
        ACL SETUSER b on nopass +@all ~* => +OK~
        1: AUTH a x => +OK~
        2: AUTH b x => +OK~
        3: AUTH a x => +OK~
        3: MULTI => +OK~
        3: SET k v => +QUEUED~
        ACL DELUSER a nobody => :1~
        1: =closed
        3: =closed
        2: PING => +PONG~
        ACL SETUSER a on nopass +@all ~* => +OK~
        1: AUTH a x => +OK~
        1: ACL DELUSER a => :1~
        1: =closed
        GET k => $-1~
        2: CLIENT KILL USER a => -ERR No such user 'a'~
        2: CLIENT KILL USER b => :0~
        2: CLIENT KILL USER b SKIPME no => :1~
        2: =closed
        CLIENT LIST USER nobody => -ERR No such user 'nobody'~
        CLIENT KILL USER nobody => -ERR No such user 'nobody'~
        "##,
    );
}

#[test]
fn sort_needs_all_keys_for_those_it_makes_up() {
    conversation(
        r##"
        RPUSH l 1 => :1~
        SET v1 1 => +OK~
        ACL SETUSER a on nopass (+sort ~l ~d) +sort_ro ~l => +OK~
        1: AUTH a x => +OK~
        1: SORT l BY nosort => *1~$1~1~
        1: SORT l BY v* => -ERR BY option of SORT denied due to insufficient ACL permissions.~
        1: SORT l GET v* => -ERR GET option of SORT denied due to insufficient ACL permissions.~
        1: SORT l GET # => -ERR GET option of SORT denied due to insufficient ACL permissions.~
        1: SORT l GET # BY v* => -ERR GET option of SORT denied due to insufficient ACL permissions.~
        1: SORT_RO l GET v* => -ERR GET option of SORT denied due to insufficient ACL permissions.~
        1: SORT l STORE d => :1~
        ACL SETUSER a (+sort ~l ~v*) => +OK~
        1: SORT l BY v* => -ERR BY option of SORT denied due to insufficient ACL permissions.~
        ACL SETUSER a (+sort ~l %W~*) => +OK~
        1: SORT l BY v* => -ERR BY option of SORT denied due to insufficient ACL permissions.~
        ACL SETUSER a (+sort ~l %R~*) => +OK~
        1: SORT l BY v* GET v* => *1~$1~1~
        1: SORT l BY v* STORE d => -ERR BY option of SORT denied due to insufficient ACL permissions.~
        "##,
    );
}
