//! Roles: permissions that many users hold.

use crate::acl::conversation;
use crate::harness::*;

#[test]
fn a_role_is_made_described_and_removed() {
    table(
        r#"
        ACL ROLES => *0~
        ACL GETROLE reader => $-1~ => _~
        ACL SETROLE reader ~app:* +@read (+info) => +OK~
        ACL SETROLE ops => +OK~
        ACL ROLES => *2~$3~ops~$6~reader~
        ACL GETROLE ops => *12~$8~commands~$5~-@all~$4~keys~$0~~$8~channels~$0~~$9~databases~$6~alldbs~$9~selectors~*0~$5~users~*0~ => %6~$8~commands~$5~-@all~$4~keys~$0~~$8~channels~$0~~$9~databases~$6~alldbs~$9~selectors~*0~$5~users~*0~
        ACL SETUSER alice on >pw role=reader => +OK~
        ACL GETROLE reader => *12~$8~commands~$12~-@all +@read~$4~keys~$6~~app:*~$8~channels~$0~~$9~databases~$6~alldbs~$9~selectors~*1~*8~$8~commands~$11~-@all +info~$4~keys~$0~~$8~channels~$0~~$9~databases~$6~alldbs~$5~users~*1~$5~alice~ => %6~$8~commands~$12~-@all +@read~$4~keys~$6~~app:*~$8~channels~$0~~$9~databases~$6~alldbs~$9~selectors~*1~%4~$8~commands~$11~-@all +info~$4~keys~$0~~$8~channels~$0~~$9~databases~$6~alldbs~$5~users~*1~$5~alice~
        ACL DELROLE reader => -ERR Role 'reader' is assigned to one or more users. Remove it from them first.~
        ACL DELROLE ops reader => -ERR Role 'reader' is assigned to one or more users. Remove it from them first.~
        ACL ROLES => *2~$3~ops~$6~reader~
        ACL SETUSER alice resetroles => +OK~
        ACL DELROLE reader nosuchrole => :1~
        ACL DELROLE reader => :0~
        ACL DELUSER alice => :1~
        ACL DELROLE ops ops => :1~
        ACL ROLES => *0~
        ACL SETUSER alice role=none => -ERR Error in ACL SETUSER modifier 'role=none': The role does not exist~
        ACL GETUSER alice => $-1~ => _~
        ACL SETROLE "a b" => -ERR Role names can't contain spaces or null characters~
        ACL SETROLE "" +get => -ERR Role names can't be empty~
        ACL SETUSER alice role= => -ERR Error in ACL SETUSER modifier 'role=': The role does not exist~
        ACL SETROLE get => -ERR Role names can't be those of commands or categories~
        ACL SETROLE READ => -ERR Role names can't be those of commands or categories~
        ACL SETROLE r (+get => -ERR Unmatched parenthesis in acl selector starting at '(+get'.~
        ACL SETROLE r +nocommand => -ERR Error in ACL SETROLE modifier '+nocommand': Unknown command or category name in ACL~
        ACL SETROLE r ~a on => -ERR Error in ACL SETROLE modifier 'on': The rule is for users, a role has no such thing~
        ACL SETROLE r >secret => -ERR Error in ACL SETROLE modifier '>***': The rule is for users, a role has no such thing~
        ACL SETROLE r role=r => -ERR Error in ACL SETROLE modifier 'role=r': The rule is for users, a role has no such thing~
        ACL SETROLE r (role=r) => -ERR Error in ACL SETROLE modifier '(role=r)': Syntax error~
        ACL SETUSER alice (role=r) => -ERR Error in ACL SETUSER modifier '(role=r)': Syntax error~
        ACL ROLES => *0~
        ACL SETROLE => -ERR wrong number of arguments for 'acl|setrole' command~
        ACL GETROLE => -ERR wrong number of arguments for 'acl|getrole' command~
        ACL GETROLE a b => -ERR wrong number of arguments for 'acl|getrole' command~
        ACL DELROLE => -ERR wrong number of arguments for 'acl|delrole' command~
        ACL ROLES x => -ERR wrong number of arguments for 'acl|roles' command~
        EVAL "return redis.call('acl', 'roles')" 0 => -ERR This Valkey command is not allowed from script script: on @user_script:1.~
        "#,
    );
    let server = TestServer::start();
    let mut client = server.client();
    for rule in ["on", "OFF", "reset", "nopass", "resetpass", "resetroles", ">p", "<p", "#p", "!p", "ROLE=x"]
    {
        let reply = client.raw(&format!("ACL SETROLE r {rule}"));
        assert!(reply.ends_with("The rule is for users, a role has no such thing~"), "{rule} {reply}");
    }
    client.check("ACL SETROLE r ~a +get (~b +set) (+info)", "+OK~");
    client.check("ACL SETROLE r clearselectors resetkeys -@all ~c %R~d &e db=1,2", "+OK~");
    let reply = client.raw("ACL GETROLE r");
    assert_eq!(
        reply,
        "*12~$8~commands~$5~-@all~$4~keys~$7~~c %R~d~$8~channels~$2~&e~$9~databases~$6~db=1,2~$9~selectors~*0~$5~users~*0~"
    );
    // A rule that is wrong leaves the role as it was.
    assert!(client.raw("ACL SETROLE r ~f +nothing").starts_with("-ERR"));
    assert_eq!(client.raw("ACL GETROLE r"), reply);
    client.check("MULTI", "+OK~");
    client.check("ACL SETROLE q +get", "+QUEUED~");
    client.check("ACL ROLES", "+QUEUED~");
    client.check("EXEC", "*2~+OK~*2~$1~q~$1~r~");
}

#[test]
fn users_may_do_what_their_roles_may() {
    conversation(
        r#"
        ACL SETROLE reader ~app:* +@read +@transaction => +OK~
        ACL SETROLE writer ~app:* +@write (~log +append) => +OK~
        ACL SETUSER alice on nopass role=reader => +OK~
        u: AUTH alice x => +OK~
        u: GET app:1 => $-1~
        u: GET other => -NOPERM No permissions to access a key~
        u: SET app:1 v => -NOPERM User alice has no permissions to run the 'set' command~
        ACL SETUSER alice role=writer role=reader => +OK~
        u: SET app:1 v => +OK~
        u: APPEND log v => :1~
        u: SET log v => -NOPERM No permissions to access a key~
        ACL DRYRUN alice SET app:2 v => +OK~
        ACL DRYRUN alice SET no v => $52~User alice has no permissions to access the 'no' key~
        # What a role says is said for all at once, also for clients that are connected.
        ACL SETROLE writer -set => +OK~
        u: SET app:1 v => -NOPERM User alice has no permissions to run the 'set' command~
        u: MULTI => +OK~
        u: SET app:1 v => -NOPERM User alice has no permissions to run the 'set' command~
        u: EXEC => -EXECABORT Transaction discarded because of previous errors.~
        u: EVAL "return 1" 0 => -NOPERM User alice has no permissions to run the 'eval' command~
        ACL SETUSER alice resetroles => +OK~
        u: GET app:1 => -NOPERM User alice has no permissions to run the 'get' command~
        # A role that may do everything.
        ACL SETROLE all allkeys allchannels +@all => +OK~
        ACL SETUSER alice role=all => +OK~
        u: SET anything v => +OK~
        ACL SETROLE all -set => +OK~
        u: SET anything v => -NOPERM User alice has no permissions to run the 'set' command~
        ACL SETUSER alice reset => +OK~
        ACL DELROLE all reader writer => :3~
        "#,
    );
}

/// Clients are cut that listen to what their role no longer allows, and no others.
#[test]
fn listeners_that_lose_their_channels_are_cut() {
    let server = TestServer::start();
    let (mut control, mut listener, mut other) = (server.client(), server.client(), server.client());
    control.check("ACL SETROLE hears &news +subscribe", "+OK~");
    for user in ["alice", "bob"] {
        control.check(&format!("ACL SETUSER {user} on nopass role=hears"), "+OK~");
    }
    control.check("ACL SETUSER bob &news", "+OK~");
    listener.check("AUTH alice x", "+OK~");
    other.check("AUTH bob x", "+OK~");
    for client in [&mut listener, &mut other] {
        client.check("SUBSCRIBE news", "*3~$9~subscribe~$4~news~:1~");
    }
    control.check("ACL SETROLE hears &more", "+OK~");
    control.check("PUBLISH news 1", ":2~");
    for client in [&mut listener, &mut other] {
        client.check_next("*3~$7~message~$4~news~$1~1~");
    }
    control.check("ACL SETROLE hears resetchannels", "+OK~");
    listener.expect_closed();
    control.check("PUBLISH news 2", ":1~");
    other.check_next("*3~$7~message~$4~news~$1~2~");
}

#[test]
fn roles_stand_in_the_file_of_users() {
    let dir = TempDir::new();
    let path = dir.path().join("users.acl");
    let file = path.display().to_string();
    // A user may stand before its role.
    std::fs::write(&path, "user alice on nopass role=reader resetchannels -@all\nrole reader ~app:* resetchannels -@all +@read (resetchannels -@all +info)\n").expect("written");
    let server =
        TestServer::try_with(&[("aclfile", &file)], kvarts::shared::clock::Clock::manual(START_MS), dir)
            .expect("it starts");
    let mut client = server.client();
    client.check("ACL ROLES", "*1~$6~reader~");
    client.check("ACL DRYRUN alice GET app:1", "+OK~");
    client.check(
        "ACL LIST",
        "*2~$52~user alice on nopass role=reader resetchannels -@all~$34~user default on nopass ~* &* +@all~"
            .replace("$30", "$31")
            .as_str(),
    );
    let shown = client.value("ACL GETUSER alice").items();
    let names: Vec<String> = shown[shown.len() - 2..].iter().map(|value| format!("{value:?}")).collect();
    assert!(names[0].contains("roles") || shown[shown.len() - 2].text() == "roles", "{names:?}");
    assert_eq!(shown[shown.len() - 1].texts(), ["reader"]);
    client.check("ACL SETROLE writer +set", "+OK~");
    client.check("ACL SETUSER alice role=writer", "+OK~");
    client.check("ACL SAVE", "+OK~");
    let saved = std::fs::read_to_string(&path).expect("readable");
    assert_eq!(
        saved,
        "role reader ~app:* resetchannels -@all +@read (resetchannels -@all +info)\nrole writer resetchannels -@all +set\nuser alice on nopass role=reader role=writer resetchannels -@all\nuser default on nopass ~* &* +@all\n"
    );
    client.check("ACL SETROLE gone", "+OK~");
    client.check("ACL LOAD", "+OK~");
    client.check("ACL ROLES", "*2~$6~reader~$6~writer~");
    assert_eq!(client.value("ACL GETROLE writer").items().last().expect("users").texts(), ["alice"]);
    // What is wrong changes nothing.
    for (content, error) in [
        ("user bob role=none\n", "1: The role does not exist. "),
        ("role r on\n", "1: The rule is for users, a role has no such thing. "),
        ("role r +get\nrole r +set\n", "WARNING: Duplicate role 'r' found at "),
        ("role get +get\n", "1: role name 'get' is that of a command or contains invalid characters. "),
        ("role\n", "1 should start with user keyword followed by the username. "),
    ] {
        std::fs::write(&path, content).expect("written");
        let reply = client.raw("ACL LOAD");
        assert!(reply.starts_with("-ERR ") && reply.contains(error), "{content} {reply}");
        client.check("ACL ROLES", "*2~$6~reader~$6~writer~");
    }
    std::fs::write(&path, "user default on nopass ~* &* +@all\n").expect("written");
    client.check("ACL LOAD", "+OK~");
    client.check("ACL ROLES", "*0~");
}

#[test]
fn roles_stand_in_the_configuration() {
    let server = TestServer::with_file(
        "user alice on nopass role=reader\nrole reader ~app:* +@read\nuser default on nopass ~* &* +@all\n",
    );
    let mut client = server.client();
    let path = server.dir().join("kvarts.conf");
    client.check("ACL DRYRUN alice GET app:1", "+OK~");
    client.check("ACL SETROLE reader ~more:*", "+OK~");
    client.check("ACL SETROLE other (+get)", "+OK~");
    client.check("CONFIG REWRITE", "+OK~");
    let content = std::fs::read_to_string(&path).expect("readable");
    let of_users: Vec<&str> =
        content.lines().filter(|line| line.starts_with("role ") || line.starts_with("user ")).collect();
    assert_eq!(
        of_users,
        [
            "user alice on nopass role=reader resetchannels -@all",
            "role reader ~app:* ~more:* resetchannels -@all +@read",
            "user default on nopass ~* &* +@all",
            "role other resetchannels -@all (resetchannels -@all +get)",
        ]
    );
    // The file is read again as it was written.
    let again = TestServer::with_file(&(of_users.join("\n") + "\n"));
    let mut client = again.client();
    client.check("ACL ROLES", "*2~$5~other~$6~reader~");
    client.check("ACL DRYRUN alice GET more:1", "+OK~");
    client.check("ACL SETUSER alice resetroles", "+OK~");
    client.check("ACL DELROLE other reader", ":2~");
    client.check("CONFIG REWRITE", "+OK~");
    let content = std::fs::read_to_string(again.dir().join("kvarts.conf")).expect("readable");
    assert!(!content.contains("role"), "{content}");
    for (lines, error) in [
        ("role r +get\nrole r +set", "Duplicate role found"),
        ("role r on", "The rule is for users"),
        ("user u role=r", "The role does not exist"),
        ("role set +get", "the name is that of a command"),
    ] {
        let dir = TempDir::new();
        let path = dir.path().join("kvarts.conf");
        std::fs::write(&path, format!("port 0\ndir {}\n{lines}\n", dir.path().display())).expect("a file");
        let config = kvarts::config::Config::from_file(&path).expect("a configuration");
        let started = kvarts::start(config, kvarts::shared::clock::Clock::manual(START_MS));
        let text = started.err().expect("it does not start").to_string();
        assert!(text.contains(error), "{lines}: {text}");
    }
}
