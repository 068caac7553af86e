//! The rules that make users: ACL SETUSER, and how ACL LIST and ACL GETUSER show them.

use crate::acl::conversation;

#[test]
fn rules_make_users() {
    conversation(
        r##"
        ACL WHOAMI => $7~default~
        ACL USERS => *1~$7~default~
        ACL LIST => *1~$34~user default on nopass ~* &* +@all~
        ACL GETUSER default => *14~$5~flags~*2~$2~on~$6~nopass~$9~passwords~*0~$8~commands~$5~+@all~$4~keys~$2~~*~$8~channels~$2~&*~$9~databases~$6~alldbs~$9~selectors~*0~
        ACL SETUSER a => +OK~
        ACL USERS => *2~$1~a~$7~default~
        ACL GETUSER a => *14~$5~flags~*1~$3~off~$9~passwords~*0~$8~commands~$5~-@all~$4~keys~$0~~$8~channels~$0~~$9~databases~$6~alldbs~$9~selectors~*0~
        ACL GETUSER nobody => $-1~
        ACL LIST => *2~$30~user a off resetchannels -@all~$34~user default on nopass ~* &* +@all~
        ACL SETUSER a on >one >two #34344e4d60c2b6d639b7bd22e18f2b0b91bc34bf0ac5f9952744435093cfb4e6 => +OK~
        ACL SETUSER a <one => +OK~
        !ACL SETUSER a <one => -ERR Error in ACL SETUSER modifier '<***': The password you are trying to remove from the user does not exist~
        ACL SETUSER a !34344e4d60c2b6d639b7bd22e18f2b0b91bc34bf0ac5f9952744435093cfb4e6 => +OK~
        ACL SETUSER a !34344e4d60c2b6d639b7bd22e18f2b0b91bc34bf0ac5f9952744435093cfb4e6 => -ERR Error in ACL SETUSER modifier '!34344e4d60c2b6d639b7bd22e18f2b0b91bc34bf0ac5f9952744435093cfb4e6': The password you are trying to remove from the user does not exist~
        ACL SETUSER a #1234 => -ERR Error in ACL SETUSER modifier '#1234': The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters~
        ACL SETUSER a #34344E4D60c2b6d639b7bd22e18f2b0b91bc34bf0ac5f9952744435093cfb4e6 => -ERR Error in ACL SETUSER modifier '#34344E4D60c2b6d639b7bd22e18f2b0b91bc34bf0ac5f9952744435093cfb4e6': The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters~
        ACL GETUSER a => *14~$5~flags~*1~$2~on~$9~passwords~*1~$64~3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3~$8~commands~$5~-@all~$4~keys~$0~~$8~channels~$0~~$9~databases~$6~alldbs~$9~selectors~*0~
        ACL SETUSER a nopass => +OK~
        ACL GETUSER a => *14~$5~flags~*2~$2~on~$6~nopass~$9~passwords~*0~$8~commands~$5~-@all~$4~keys~$0~~$8~channels~$0~~$9~databases~$6~alldbs~$9~selectors~*0~
        ACL SETUSER a >three OFF => +OK~
        ACL LIST => *2~$96~user a off #8b5b9db0c13db24256c829aa364aa90c6d2eba318b9232a4ab9313b954d3555f resetchannels -@all~$34~user default on nopass ~* &* +@all~
        ACL SETUSER a resetpass sanitize-payload skip-sanitize-payload => +OK~
        ACL LIST => *2~$30~user a off resetchannels -@all~$34~user default on nopass ~* &* +@all~
        ACL SETUSER a >x ~k* &c* +get (+set ~s) db=1 reset => +OK~
        ACL LIST => *2~$30~user a off resetchannels -@all~$34~user default on nopass ~* &* +@all~
        ACL SETUSER a foo => -ERR Error in ACL SETUSER modifier 'foo': Syntax error~
        ACL SETUSER new +get foo => -ERR Error in ACL SETUSER modifier 'foo': Syntax error~
        ACL GETUSER new => $-1~
        ACL SETUSER a ~kept ~lost foo => -ERR Error in ACL SETUSER modifier 'foo': Syntax error~
        ACL LIST => *2~$30~user a off resetchannels -@all~$34~user default on nopass ~* &* +@all~
        ACL SETUSER "a b" => -ERR Usernames can't contain spaces or null characters~
        ACL SETUSER "a\x00b" => -ERR Usernames can't contain spaces or null characters~
        ACL SETUSER "a\nb" => -ERR Usernames can't contain spaces or null characters~
        ACL SETUSER "" => +OK~
        ACL LIST => *3~$29~user  off resetchannels -@all~$30~user a off resetchannels -@all~$34~user default on nopass ~* &* +@all~
        ACL DELUSER "" a nobody => :2~
        ACL DELUSER a default => -ERR The 'default' user cannot be removed~
        ACL DELUSER default => -ERR The 'default' user cannot be removed~
        ACL USERS => *1~$7~default~
        "##,
    );
}

#[test]
fn rules_for_keys_and_channels() {
    conversation(
        r##"
        ACL SETUSER a %R~r %W~w ~both %RW~both2 %r~r %W~r => +OK~
        ACL GETUSER a => *14~$5~flags~*1~$3~off~$9~passwords~*0~$8~commands~$5~-@all~$4~keys~$20~~r %W~w ~both ~both2~$8~channels~$0~~$9~databases~$6~alldbs~$9~selectors~*0~
        ACL SETUSER a %~ => -ERR Error in ACL SETUSER modifier '%~': Syntax error~
        ACL SETUSER a %~x => -ERR Error in ACL SETUSER modifier '%~x': Syntax error~
        ACL SETUSER a %RR~x => -ERR Error in ACL SETUSER modifier '%RR~x': Syntax error~
        ACL SETUSER a %X~x => -ERR Error in ACL SETUSER modifier '%X~x': Syntax error~
        ACL SETUSER a %R => +OK~
        ACL SETUSER a "~a b" => -ERR Error in ACL SETUSER modifier '~a b': Syntax error~
        ACL SETUSER a resetkeys %R~* => +OK~
        ACL GETUSER a => *14~$5~flags~*1~$3~off~$9~passwords~*0~$8~commands~$5~-@all~$4~keys~$4~%R~*~$8~channels~$0~~$9~databases~$6~alldbs~$9~selectors~*0~
        ACL SETUSER a ~* => +OK~
        ACL SETUSER a ~more => -ERR Error in ACL SETUSER modifier '~more': Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any effect. Try 'resetkeys' to start with an empty list of patterns~
        ACL SETUSER a %R~more => -ERR Error in ACL SETUSER modifier '%R~more': Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any effect. Try 'resetkeys' to start with an empty list of patterns~
        ACL SETUSER a allkeys => +OK~
        ACL SETUSER a resetkeys ~ => +OK~
        ACL LIST => *2~$32~user a off ~ resetchannels -@all~$34~user default on nopass ~* &* +@all~
        ACL SETUSER a &one &one &t* => +OK~
        ACL SETUSER a "&a b" => -ERR Error in ACL SETUSER modifier '&a b': Syntax error~
        ACL LIST => *2~$41~user a off ~ resetchannels &one &t* -@all~$34~user default on nopass ~* &* +@all~
        ACL SETUSER a &* => +OK~
        ACL SETUSER a &more => -ERR Error in ACL SETUSER modifier '&more': Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not have any effect. Try 'resetchannels' to start with an empty list of channels~
        ACL LIST => *2~$21~user a off ~ &* -@all~$34~user default on nopass ~* &* +@all~
        ACL SETUSER a allchannels resetchannels => +OK~
        ACL LIST => *2~$32~user a off ~ resetchannels -@all~$34~user default on nopass ~* &* +@all~
        ACL SETUSER a * => -ERR Error in ACL SETUSER modifier '*': Syntax error~
        ACL SETUSER a | => -ERR Error in ACL SETUSER modifier '|': Syntax error~
        "##,
    );
}

#[test]
fn rules_for_databases() {
    conversation(
        r##"
        ACL SETUSER a db=0 => +OK~
        ACL LIST => *2~$35~user a off resetchannels db=0 -@all~$34~user default on nopass ~* &* +@all~
        ACL SETUSER a db=3,1,1 => +OK~
        ACL LIST => *2~$37~user a off resetchannels db=1,3 -@all~$34~user default on nopass ~* &* +@all~
        ACL SETUSER a DB=01 db=5 => +OK~
        ACL GETUSER a => *14~$5~flags~*1~$3~off~$9~passwords~*0~$8~commands~$5~-@all~$4~keys~$0~~$8~channels~$0~~$9~databases~$4~db=5~$9~selectors~*0~
        ACL SETUSER a db= => -ERR Error in ACL SETUSER modifier 'db=': Syntax error~
        ACL SETUSER a db=1, => -ERR Error in ACL SETUSER modifier 'db=1,': Syntax error~
        ACL SETUSER a db=x => -ERR Error in ACL SETUSER modifier 'db=x': Syntax error~
        ACL SETUSER a db=-1 => -ERR Error in ACL SETUSER modifier 'db=-1': The provided database ID is out of range~
        ACL SETUSER a db=2147483648 => -ERR Error in ACL SETUSER modifier 'db=2147483648': The provided database ID is out of range~
        ACL SETUSER a db=99999999999999999999 => -ERR Error in ACL SETUSER modifier 'db=99999999999999999999': The provided database ID is out of range~
        ACL SETUSER a db=2147483647 => +OK~
        ACL SETUSER a resetdbs => +OK~
        ACL GETUSER a => *14~$5~flags~*1~$3~off~$9~passwords~*0~$8~commands~$5~-@all~$4~keys~$0~~$8~channels~$0~~$9~databases~$0~~$9~selectors~*0~
        ACL LIST => *2~$39~user a off resetchannels resetdbs -@all~$34~user default on nopass ~* &* +@all~
        ACL SETUSER a ALLDBS db=1 (db=2) (resetdbs) => +OK~
        ACL LIST => *2~$93~user a off resetchannels db=1 -@all (resetchannels db=2 -@all) (resetchannels resetdbs -@all)~$34~user default on nopass ~* &* +@all~
        ACL SETUSER a alldbs => +OK~
        ACL LIST => *2~$88~user a off resetchannels -@all (resetchannels db=2 -@all) (resetchannels resetdbs -@all)~$34~user default on nopass ~* &* +@all~
        "##,
    );
}

#[test]
fn rules_for_commands() {
    conversation(
        r##"
        ACL SETUSER a +@all -@hash -@slow +hget => +OK~
        ACL GETUSER a => *14~$5~flags~*1~$3~off~$9~passwords~*0~$8~commands~$25~+@all -@hash -@slow +hget~$4~keys~$0~~$8~channels~$0~~$9~databases~$6~alldbs~$9~selectors~*0~
        ACL SETUSER a -@hash => +OK~
        ACL LIST => *2~$50~user a off resetchannels +@all -@slow +hget -@hash~$34~user default on nopass ~* &* +@all~
        ACL SETUSER a +@hash => +OK~
        ACL LIST => *2~$50~user a off resetchannels +@all -@slow +hget +@hash~$34~user default on nopass ~* &* +@all~
        ACL SETUSER a -@all -@string -@slow +@all => +OK~
        ACL LIST => *2~$30~user a off resetchannels +@all~$34~user default on nopass ~* &* +@all~
        ACL SETUSER a -@all +@HASH +@hash +@HaSh => +OK~
        ACL LIST => *2~$37~user a off resetchannels -@all +@hash~$34~user default on nopass ~* &* +@all~
        ACL SETUSER a -@all +HGET +hget +hGeT => +OK~
        ACL LIST => *2~$36~user a off resetchannels -@all +hget~$34~user default on nopass ~* &* +@all~
        ACL SETUSER a -@all +@hash +@slow +@set +@set +@slow +@hash => +OK~
        ACL LIST => *2~$50~user a off resetchannels -@all +@set +@slow +@hash~$34~user default on nopass ~* &* +@all~
        ACL SETUSER a -@all +hget -hset +hset -hget => +OK~
        ACL LIST => *2~$42~user a off resetchannels -@all +hset -hget~$34~user default on nopass ~* &* +@all~
        ACL SETUSER a -@all +client|list +client|list +config|get +config +acl|list -acl => +OK~
        ACL LIST => *2~$56~user a off resetchannels -@all +client|list +config -acl~$34~user default on nopass ~* &* +@all~
        ACL SETUSER a -@all +select|0 +SELECT|0 +get|x +get => +OK~
        ACL LIST => *2~$45~user a off resetchannels -@all +select|0 +get~$34~user default on nopass ~* &* +@all~
        ACL SETUSER a -@all -@dangerous => +OK~
        ACL LIST => *2~$42~user a off resetchannels -@all -@dangerous~$34~user default on nopass ~* &* +@all~
        ACL SETUSER a -@all +config +config|get -config|set +config => +OK~
        ACL LIST => *2~$38~user a off resetchannels -@all +config~$34~user default on nopass ~* &* +@all~
        ACL SETUSER a nocommands +get|X +get|y => +OK~
        ACL LIST => *2~$44~user a off resetchannels -@all +get|x +get|y~$34~user default on nopass ~* &* +@all~
        ACL SETUSER a allcommands -get => +OK~
        ACL LIST => *2~$35~user a off resetchannels +@all -get~$34~user default on nopass ~* &* +@all~
        ACL SETUSER a +@nosuch => -ERR Error in ACL SETUSER modifier '+@nosuch': Unknown command or category name in ACL~
        ACL SETUSER a +@ => -ERR Error in ACL SETUSER modifier '+@': Unknown command or category name in ACL~
        ACL SETUSER a +nosuch => -ERR Error in ACL SETUSER modifier '+nosuch': Unknown command or category name in ACL~
        ACL SETUSER a -nosuch => -ERR Error in ACL SETUSER modifier '-nosuch': Unknown command or category name in ACL~
        ACL SETUSER a + => -ERR Error in ACL SETUSER modifier '+': Unknown command or category name in ACL~
        ACL SETUSER a - => -ERR Error in ACL SETUSER modifier '-': Unknown command or category name in ACL~
        ACL SETUSER a +config| => -ERR Error in ACL SETUSER modifier '+config|': Syntax error~
        ACL SETUSER a +get| => -ERR Error in ACL SETUSER modifier '+get|': Syntax error~
        ACL SETUSER a -get|x => -ERR Error in ACL SETUSER modifier '-get|x': Unknown command or category name in ACL~
        ACL SETUSER a +get|x|y => -ERR Error in ACL SETUSER modifier '+get|x|y': Unknown command or category name in ACL~
        ACL SETUSER a +config|get|x => -ERR Error in ACL SETUSER modifier '+config|get|x': Allowing first-arg of a subcommand is not supported~
        ACL SETUSER a +config|nosuch => -ERR Error in ACL SETUSER modifier '+config|nosuch': Unknown command or category name in ACL~
        ACL SETUSER a -config|nosuch => -ERR Error in ACL SETUSER modifier '-config|nosuch': Unknown command or category name in ACL~
        ACL SETUSER a +nosuch|x => -ERR Error in ACL SETUSER modifier '+nosuch|x': Unknown command or category name in ACL~
        "##,
    );
}

#[test]
fn rules_for_selectors() {
    conversation(
        r##"
        ACL SETUSER a (+get ~a) (+set ~b %R~c &d) => +OK~
        ACL GETUSER a => *14~$5~flags~*1~$3~off~$9~passwords~*0~$8~commands~$5~-@all~$4~keys~$0~~$8~channels~$0~~$9~databases~$6~alldbs~$9~selectors~*2~*8~$8~commands~$10~-@all +get~$4~keys~$2~~a~$8~channels~$0~~$9~databases~$6~alldbs~*8~$8~commands~$10~-@all +set~$4~keys~$7~~b %R~c~$8~channels~$2~&d~$9~databases~$6~alldbs~
        ACL LIST => *2~$98~user a off resetchannels -@all (~a resetchannels -@all +get) (~b %R~c resetchannels &d -@all +set)~$34~user default on nopass ~* &* +@all~
        ACL SETUSER a clearselectors () ( ) "( allcommands  allkeys )" => +OK~
        ACL LIST => *2~$99~user a off resetchannels -@all (resetchannels -@all) (resetchannels -@all) (~* resetchannels +@all)~$34~user default on nopass ~* &* +@all~
        ACL SETUSER a clearselectors "(~k1 +get )" "( ~k2 +get )" (~k3 +get ) ( ~k4 +get) => +OK~
        ACL LIST => *2~$154~user a off resetchannels -@all (~k1 resetchannels -@all +get) (~k2 resetchannels -@all +get) (~k3 resetchannels -@all +get) (~k4 resetchannels -@all +get)~$34~user default on nopass ~* &* +@all~
        ACL SETUSER a (on) => -ERR Error in ACL SETUSER modifier '(on)': Syntax error~
        ACL SETUSER a (reset) => -ERR Error in ACL SETUSER modifier '(reset)': Syntax error~
        ACL SETUSER a (nopass) => -ERR Error in ACL SETUSER modifier '(nopass)': Syntax error~
        ACL SETUSER a ((+get)) => -ERR Error in ACL SETUSER modifier '((+get))': Syntax error~
        ACL SETUSER a (+nosuch) => -ERR Error in ACL SETUSER modifier '(+nosuch)': Unknown command or category name in ACL~
        ACL SETUSER a (&* &more) => -ERR Error in ACL SETUSER modifier '(&* &more)': Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not have any effect. Try 'resetchannels' to start with an empty list of channels~
        ACL SETUSER a (+ping (+select (+del => -ERR Unmatched parenthesis in acl selector starting at '(+ping'.~
        ACL SETUSER a (+ping (+select (+del ) ) ) => -ERR Error in ACL SETUSER modifier '(+ping (+select (+del )': Syntax error~
        ACL SETUSER a ( => -ERR Unmatched parenthesis in acl selector starting at '('.~
        ACL SETUSER a ) => -ERR Error in ACL SETUSER modifier ')': Syntax error~
        ACL SETUSER a " () " => -ERR Error in ACL SETUSER modifier ' () ': Syntax error~
        CONFIG SET acl-pubsub-default allchannels => +OK~
        ACL SETUSER b (+get) => +OK~
        ACL SETUSER a reset (+set) => +OK~
        ACL LIST => *3~$35~user a off &* -@all (&* -@all +set)~$35~user b off &* -@all (&* -@all +get)~$34~user default on nopass ~* &* +@all~
        CONFIG SET acl-pubsub-default resetchannels => +OK~
        ACL SETUSER b reset => +OK~
        ACL LIST => *3~$35~user a off &* -@all (&* -@all +set)~$30~user b off resetchannels -@all~$34~user default on nopass ~* &* +@all~
        "##,
    );
}

#[test]
fn arguments_of_acl() {
    conversation(
        r##"
        ACL => -ERR wrong number of arguments for 'acl' command~
        ACL NOSUCH => -ERR unknown subcommand 'NOSUCH'. Try ACL HELP.~
        ACL CAT nosuch => -ERR Unknown category 'nosuch'~
        ACL CAT a b => -ERR unknown subcommand or wrong number of arguments for 'CAT'. Try ACL HELP.~
        ACL CAT => *21~$8~keyspace~$4~read~$5~write~$3~set~$9~sortedset~$4~list~$4~hash~$6~string~$6~bitmap~$11~hyperloglog~$3~geo~$6~stream~$6~pubsub~$5~admin~$4~fast~$4~slow~$8~blocking~$9~dangerous~$10~connection~$11~transaction~$9~scripting~
        ACL WHOAMI x => -ERR wrong number of arguments for 'acl|whoami' command~
        ACL GENPASS x => -ERR value is not an integer or out of range~
        ACL GENPASS 0 => -ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up to 4096~
        ACL GENPASS -236 => -ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up to 4096~
        ACL GENPASS 4097 => -ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up to 4096~
        ACL GENPASS 1 2 => -ERR unknown subcommand or wrong number of arguments for 'GENPASS'. Try ACL HELP.~
        ACL LOG x => -ERR value is not an integer or out of range~
        ACL LOG 1 2 => -ERR unknown subcommand or wrong number of arguments for 'LOG'. Try ACL HELP.~
        ACL LOG RESET x => -ERR unknown subcommand or wrong number of arguments for 'LOG'. Try ACL HELP.~
        ACL LOG -1 => *0~
        ACL LOG => *0~
        ACL LOG RESET => +OK~
        ACL LOAD => -ERR This instance is not configured to use an ACL file. You may want to specify users via the ACL SETUSER command and then issue a CONFIG REWRITE (assuming you have a configuration file set) in order to store users in the configuration.~
        ACL SAVE => -ERR This instance is not configured to use an ACL file. You may want to specify users via the ACL SETUSER command and then issue a CONFIG REWRITE (assuming you have a configuration file set) in order to store users in the configuration.~
        ACL LOAD x => -ERR wrong number of arguments for 'acl|load' command~
        ACL SETUSER => -ERR wrong number of arguments for 'acl|setuser' command~
        ACL DELUSER => -ERR wrong number of arguments for 'acl|deluser' command~
        ACL GETUSER => -ERR wrong number of arguments for 'acl|getuser' command~
        ACL DRYRUN a => -ERR wrong number of arguments for 'acl|dryrun' command~
        ACL HELP x => -ERR wrong number of arguments for 'acl|help' command~
        "##,
    );
}

#[test]
fn dryrun_tells_why() {
    conversation(
        r##"
        ACL SETUSER a +@all %R~read* %W~write* %RW~rw* &c -@dangerous => +OK~
        ACL DRYRUN a GET read => +OK~
        ACL DRYRUN nobody GET read => -ERR User 'nobody' not found~
        ACL DRYRUN a nosuch read => -ERR Command 'nosuch' not found~
        ACL DRYRUN a CONFIG nosuch => -ERR Command 'CONFIG' not found~
        ACL DRYRUN a CONFIG => -ERR wrong number of arguments for 'config' command~
        ACL DRYRUN a config|get x => -ERR Command 'config|get' not found~
        ACL DRYRUN a SET v => -ERR wrong number of arguments for 'set' command~
        ACL DRYRUN a SET => -ERR wrong number of arguments for 'set' command~
        ACL DRYRUN a CONFIG GET x => $57~User a has no permissions to run the 'config|get' command~
        ACL DRYRUN a GET write => $51~User a has no permissions to access the 'write' key~
        ACL DRYRUN a SORT read STORE write => $51~User a has no permissions to run the 'sort' command~
        ACL SETUSER a +sort => +OK~
        ACL DRYRUN a SORT read STORE write => +OK~
        ACL DRYRUN a SORT read STORE read => $50~User a has no permissions to access the 'read' key~
        ACL DRYRUN a SORT write STORE write => $51~User a has no permissions to access the 'write' key~
        ACL DRYRUN a EVAL "" 1 rw1 => +OK~
        ACL DRYRUN a EVAL "" 1 read => $50~User a has no permissions to access the 'read' key~
        ACL DRYRUN a EVAL_RO "" 1 read => +OK~
        ACL DRYRUN a EVAL "" 0 read => +OK~
        ACL DRYRUN a EVAL "" -1 read => +OK~
        ACL DRYRUN a EVAL "" 3 rw read => +OK~
        ACL DRYRUN a GEORADIUS read 1 1 1 M STOREDIST write => +OK~
        ACL DRYRUN a GEORADIUS read1 1 1 1 M STOREDIST read2 => $51~User a has no permissions to access the 'read2' key~
        ACL DRYRUN a GEORADIUS write1 1 1 1 M STORE write2 => $52~User a has no permissions to access the 'write1' key~
        ACL DRYRUN a HEXISTS read f => +OK~
        ACL DRYRUN a HEXISTS write f => +OK~
        ACL DRYRUN a HEXISTS nothing f => $53~User a has no permissions to access the 'nothing' key~
        ACL DRYRUN a SINTERCARD 2 write read => $51~User a has no permissions to access the 'write' key~
        ACL DRYRUN a ZCOUNT write 0 1 => $51~User a has no permissions to access the 'write' key~
        ACL DRYRUN a PFCOUNT write read => $51~User a has no permissions to access the 'write' key~
        ACL DRYRUN a TOUCH nothing => $53~User a has no permissions to access the 'nothing' key~
        ACL DRYRUN a TYPE write => +OK~
        ACL DRYRUN a MEMORY USAGE write => +OK~
        ACL DRYRUN a MEMORY USAGE nothing => $53~User a has no permissions to access the 'nothing' key~
        ACL DRYRUN a XLEN nothing => $53~User a has no permissions to access the 'nothing' key~
        ACL DRYRUN a SPUBLISH c m => +OK~
        ACL DRYRUN a SPUBLISH other m => $55~User a has no permissions to access the 'other' channel~
        ACL DRYRUN a SSUBSCRIBE other => $55~User a has no permissions to access the 'other' channel~
        ACL DRYRUN a SUNSUBSCRIBE other => +OK~
        ACL DRYRUN a PSUBSCRIBE c* => $52~User a has no permissions to access the 'c*' channel~
        ACL DRYRUN a AUTH x => +OK~
        ACL SETUSER s on nopass +readonly => +OK~
        ACL DRYRUN s EVAL_RO "" 0 => $54~User s has no permissions to run the 'eval_ro' command~
        ACL DRYRUN s EVALSHA_RO "" 0 => $57~User s has no permissions to run the 'evalsha_ro' command~
        ACL DRYRUN s FCALL_RO "" 0 => $55~User s has no permissions to run the 'fcall_ro' command~
        ACL DRYRUN s READONLY => +OK~
        ACL LOG => *0~
        "##,
    );
}
