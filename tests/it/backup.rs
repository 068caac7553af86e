//! BACKUP: how a backup goes on, what it answers, and that a server starts from it with the data of one
//! instant.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool,
    Ordering::{Relaxed, SeqCst},
};

use kvarts::config::Config;
use kvarts::shared::clock::Clock;

use crate::faults::{EIO, ENOSPC, EROFS, Faults, FaultyFiles};
use crate::harness::*;

fn state(client: &mut Client) -> String {
    client.call(&["BACKUP", "STATUS"]).field("state").text()
}

fn list(client: &mut Client) -> Vec<PathBuf> {
    client.call(&["BACKUP", "LIST"]).texts().into_iter().map(PathBuf::from).collect()
}

fn begin(client: &mut Client) {
    client.check("BACKUP START", "+OK~");
    eventually("its base is written", || state(client) == "incrementing");
}

fn is_empty(server: &TestServer) -> bool {
    let folder = std::fs::read_dir(server.dir().join("backupdir"));
    folder.expect("a folder").next().is_none()
}

/// A server that starts from these files.
fn restored(files: &[PathBuf]) -> TestServer {
    let dir = TempDir::new();
    let folder = dir.path().join("backupdir");
    std::fs::create_dir(&folder).expect("a folder");
    for file in files {
        std::fs::copy(file, folder.join(file.file_name().expect("a name"))).expect("a copy");
    }
    let pairs = [("appendonly", "yes"), ("appenddirname", "backupdir"), ("aof-load-truncated", "no")];
    TestServer::try_with(&pairs, Clock::manual(START_MS), dir).expect("it starts from the backup")
}

#[test]
fn replies_of_backup() {
    table(
        "
        BACKUP => -ERR wrong number of arguments for 'backup' command~
        BACKUP STATUS => *8~$5~state~$4~idle~$5~error~$0~~$10~start_time~$1~0~$8~end_time~$1~0~ => %4~$5~state~$4~idle~$5~error~$0~~$10~start_time~$1~0~$8~end_time~$1~0~
        BACKUP LIST => *0~
        BACKUP SEAL => -ERR No backup ready to seal~
        BACKUP ABORT => -ERR No backup in progress~
        BACKUP CLEANUP => +OK~
        BACKUP START now => -ERR wrong number of arguments for 'backup|start' command~
        BACKUP NOW => -ERR unknown subcommand 'NOW'. Try BACKUP HELP.~
        CONFIG GET backup* => *4~$17~backup-sealed-ttl~$1~0~$13~backupdirname~$9~backupdir~ => %2~$17~backup-sealed-ttl~$1~0~$13~backupdirname~$9~backupdir~
        CONFIG SET backupdirname a/b => -ERR CONFIG SET failed (possibly related to argument 'backupdirname') - backupdirname can't be a path, just a dirname~
        CONFIG SET backupdirname backupdir => +OK~
        MULTI => +OK~
        BACKUP STATUS => +QUEUED~
        BACKUP LIST => +QUEUED~
        BACKUP CLEANUP => +QUEUED~
        EXEC => *3~*8~$5~state~$4~idle~$5~error~$0~~$10~start_time~$1~0~$8~end_time~$1~0~*0~+OK~ => *3~%4~$5~state~$4~idle~$5~error~$0~~$10~start_time~$1~0~$8~end_time~$1~0~*0~+OK~
        EVAL \"return redis.call('backup', 'start')\" 0 => -ERR This Valkey command is not allowed from script script: on @user_script:1.~
        ACL SETUSER limited on nopass +@all -@admin => +OK~
        ACL DRYRUN limited BACKUP START => $65~User limited has no permissions to run the 'backup|start' command~
        ACL SETUSER limited +@admin -@dangerous => +OK~
        ACL DRYRUN limited BACKUP SEAL => $64~User limited has no permissions to run the 'backup|seal' command~
        ",
    );
    assert!(Config::from_pairs([("backupdirname", "a/b")]).is_err());
}

/// From the first to the last step, with `appendonly` off and on.
#[test]
fn a_backup_holds_all_up_to_the_seal() {
    for appendonly in ["no", "yes"] {
        let server = TestServer::with(&[("appendonly", appendonly)]);
        let mut client = server.client();
        client.check("MSET k1 v1 k2 v2", "+OK~");
        begin(&mut client);
        assert_eq!(server.info("backup_in_progress"), "1");
        client.check("SELECT 3", "+OK~");
        client.check("SET k3 v3", "+OK~");
        client.check("SELECT 0", "+OK~");
        let names = |files: Vec<PathBuf>| -> Vec<String> {
            let folder = server.dir().join("backupdir");
            let name = |file: &PathBuf| file.strip_prefix(&folder).expect("in it").display().to_string();
            files.iter().map(name).collect()
        };
        assert_eq!(names(list(&mut client)), ["appendonly.aof.1.base.rdb"]);
        client.check("BACKUP START", "-ERR Backup already in progress~");
        client.check("BACKUP CLEANUP", "-ERR Backup in progress, use BACKUP ABORT first~");
        server.advance_ms(7000);
        // Within one pipeline and transaction: what stands before is in it, what follows is not.
        client.send(b"MULTI\r\nSET k4 v4\r\nDEL k1\r\nEXEC\r\nBACKUP SEAL\r\nSET k5 v5\r\n");
        for reply in ["+OK~", "+QUEUED~", "+QUEUED~", "*2~+OK~:1~", "+OK~", "+OK~"] {
            client.check_next(reply);
        }
        assert_eq!(server.info("backup_in_progress"), "0");
        let (start, end) = (START_MS / 1000, START_MS / 1000 + 7);
        client.check(
            "BACKUP STATUS",
            &format!("*8~$5~state~$6~sealed~$5~error~$0~~$10~start_time~$10~{start}~$8~end_time~$10~{end}~"),
        );
        let files = list(&mut client);
        assert_eq!(
            names(files.clone()),
            ["appendonly.aof.1.base.rdb", "appendonly.aof.1.incr.aof", "appendonly.aof.manifest"]
        );
        let len = std::fs::metadata(&files[1]).expect("a file").len();
        client.check("BACKUP SEAL", "-ERR No backup ready to seal~");
        client.check("BACKUP ABORT", "-ERR No backup in progress~");
        client.check("BACKUP START", "-ERR A sealed backup exists, use BACKUP CLEANUP first~");
        client.check("SET k6 v6", "+OK~");
        assert_eq!(std::fs::metadata(&files[1]).expect("a file").len(), len);
        let (status, text) = crate::tools::run(server.dir(), &["check", "backupdir"]);
        assert_eq!(status, Some(0), "{text}");
        let other = restored(&files);
        let mut theirs = other.client();
        theirs.check("MGET k1 k2 k4 k5 k6", "*5~$-1~$2~v2~$2~v4~$-1~$-1~");
        theirs.check("SELECT 3", "+OK~");
        theirs.check("GET k3", "$2~v3~");
        client.check("BACKUP CLEANUP", "+OK~");
        assert_eq!(state(&mut client), "idle");
        assert!(is_empty(&server));
        begin(&mut client);
        client.check("BACKUP SEAL", "+OK~");
        restored(&list(&mut client)).client().check("MGET k5 k6", "*2~$2~v5~$2~v6~");
        // The append-only file went on beside it.
        let again = TestServer::try_with(
            &[("appendonly", appendonly)],
            Clock::manual(START_MS),
            server.stop_and_keep(),
        );
        let expected = if appendonly == "yes" { "$2~v6~" } else { "$-1~" };
        again.expect("it starts").client().check("GET k6", expected);
    }
}

#[test]
fn a_backup_that_is_given_up_leaves_nothing() {
    let server = TestServer::start();
    let mut client = server.client();
    client.check("SET a 1", "+OK~");
    begin(&mut client);
    client.check("BACKUP ABORT", "+OK~");
    let start = START_MS / 1000;
    client.check(
        "BACKUP STATUS",
        &format!(
            "*8~$5~state~$6~failed~$5~error~$15~aborted by user~$10~start_time~$10~{start}~$8~end_time~$1~0~"
        ),
    );
    assert!(is_empty(&server));
    client.check("BACKUP LIST", "*0~");
    client.check("BACKUP SEAL", "-ERR No backup ready to seal~");
    // While the base is being written, too.
    client.check("CONFIG SET rdb-key-save-delay 1000000", "+OK~");
    client.check("MSET b 1 c 1 d 1", "+OK~");
    eventually("it begins", || client.raw("BACKUP START") == "+OK~");
    client.check("BACKUP SEAL", "-ERR No backup ready to seal~");
    client.check("BACKUP LIST", "*0~");
    client.check("BACKUP ABORT", "+OK~");
    client.check("CONFIG SET rdb-key-save-delay 0", "+OK~");
    eventually("nothing is left", || is_empty(&server));
    std::fs::write(server.dir().join("backupdir/stale"), "x").expect("a file");
    client.check("BACKUP START", "-ERR Backup directory is not empty~");
    std::fs::remove_file(server.dir().join("backupdir/stale")).expect("it is there");
    // What was given up may have made its files later, to remove them at its end.
    eventually("it begins", || client.raw("BACKUP START") == "+OK~");
    eventually("its base is written", || state(&mut client) == "incrementing");
    server.stop();
}

/// The append-only file's folder is none for backups, which remove what they find there.
#[test]
fn a_backup_keeps_out_of_the_append_only_file() {
    let server = TestServer::with(&[("appendonly", "yes"), ("backupdirname", "appendonlydir")]);
    let mut client = server.client();
    client.check("SET a 1", "+OK~");
    client.check("BACKUP START", "-ERR backupdirname and appenddirname are the same folder~");
    client.check("BACKUP CLEANUP", "+OK~");
    let server =
        TestServer::try_with(&[("appendonly", "yes")], Clock::manual(START_MS), server.stop_and_keep());
    server.expect("it starts").client().check("GET a", "$1~1~");
}

/// What an earlier process has left of a backup goes with BACKUP CLEANUP.
#[test]
fn what_an_earlier_backup_left_can_be_removed() {
    let server = TestServer::start();
    begin(&mut server.client());
    let left = server.dir().join("backupdir");
    let kept = TempDir::new();
    for entry in std::fs::read_dir(&left).expect("the folder") {
        let entry = entry.expect("an entry");
        std::fs::copy(entry.path(), kept.path().join(entry.file_name())).expect("copied");
    }
    let dir = server.stop_and_keep();
    for entry in std::fs::read_dir(kept.path()).expect("the folder") {
        let entry = entry.expect("an entry");
        std::fs::copy(entry.path(), left.join(entry.file_name())).expect("copied back");
    }
    let server = TestServer::try_with(&[], Clock::manual(START_MS), dir).expect("it starts");
    let mut client = server.client();
    client.check("BACKUP START", "-ERR Backup directory is not empty~");
    client.check("BACKUP CLEANUP", "+OK~");
    begin(&mut client);
}

/// Behind another snapshot it waits.
#[test]
fn a_backup_waits_for_another_snapshot() {
    let server = TestServer::start();
    let mut client = server.client();
    client.check("CONFIG SET rdb-key-save-delay 10000000", "+OK~");
    client.check("MSET a 1 b 2 c 3", "+OK~");
    client.check("BGSAVE", "+Background saving started~");
    client.check("BACKUP START", "+OK~");
    assert_eq!(state(&mut client), "pending");
    client.check("SET d 4", "+OK~");
    client.check("CONFIG SET rdb-key-save-delay 0", "+OK~");
    client.check("BGSAVE CANCEL", "+Background saving cancelled~");
    eventually("it goes on", || state(&mut client) == "incrementing");
    client.check("BACKUP SEAL", "+OK~");
    restored(&list(&mut client)).client().check("MGET a d", "*2~$1~1~$1~4~");
}

#[test]
fn a_sealed_backup_is_removed_when_its_time_is_over() {
    let server = TestServer::with(&[("backup-sealed-ttl", "10")]);
    let mut client = server.client();
    begin(&mut client);
    client.check("BACKUP SEAL", "+OK~");
    server.advance_ms(9000);
    assert_eq!(state(&mut client), "sealed");
    server.advance_ms(1000);
    eventually("it is removed", || state(&mut client) == "idle");
    assert!(is_empty(&server));
}

/// A backup taken under load, with rewrites of the append-only file meanwhile: transfers between accounts
/// leave the sum as it was, in whatever instant, and what was acknowledged before the seal is in it.
#[test]
fn a_backup_under_load_is_of_one_instant() {
    const ACCOUNTS: usize = 50;
    let server = TestServer::with_clock(&[("appendonly", "yes")], Clock::system());
    let mut client = server.client();
    for number in 0..ACCOUNTS {
        client.call(&["SET", &format!("account:{number}"), "1000"]);
    }
    let stop = Arc::new(AtomicBool::new(false));
    let threads: Vec<_> = (0..3)
        .map(|seed| {
            let (mut client, stop) = (server.client(), Arc::clone(&stop));
            std::thread::spawn(move || {
                let mut rng = fastrand::Rng::with_seed(seed);
                while !stop.load(Relaxed) {
                    let mut account = || format!("account:{}", rng.usize(..ACCOUNTS));
                    let (from, to) = (account(), account());
                    let script = "redis.call('decr', KEYS[1]) redis.call('incr', KEYS[2])";
                    match rng.bool() {
                        true => {
                            let lines = [vec!["MULTI"], vec!["DECR", &from], vec!["INCR", &to], vec!["EXEC"]];
                            client.send(&lines.iter().flat_map(|line| encode(line)).collect::<Vec<_>>());
                            lines.iter().for_each(|_| drop(client.read()));
                        }
                        false => drop(client.call(&["EVAL", script, "2", &from, &to])),
                    }
                }
            })
        })
        .collect();
    for round in 0..4 {
        begin(&mut client);
        if round % 2 == 1 {
            client.check("BGREWRITEAOF", "+Background append only file rewriting started~");
            eventually("it ends", || server.info("aof_rewrite_in_progress") == "0");
        }
        client.call(&["SET", "last", &round.to_string()]);
        client.check("BACKUP SEAL", "+OK~");
        let other = restored(&list(&mut client));
        let mut theirs = other.client();
        let sum: i64 = (0..ACCOUNTS)
            .map(|number| theirs.call(&["GET", &format!("account:{number}")]).text())
            .map(|held| held.parse::<i64>().expect("a number"))
            .sum();
        assert_eq!(sum, 1000 * ACCOUNTS as i64, "round {round}");
        theirs.check("GET last", &format!("$1~{round}~"));
        client.check("BACKUP CLEANUP", "+OK~");
    }
    stop.store(true, Relaxed);
    threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
}

/// A disk that fails ends the backup, at whatever step, and hinders nobody; with it nothing is left behind.
#[test]
fn a_backup_on_a_disk_that_fails_is_given_up() {
    let faults = Faults::new();
    let files = Arc::new(FaultyFiles(Arc::clone(&faults)));
    let server = TestServer::try_with_files(&[], Clock::manual(START_MS), TempDir::new(), files);
    let server = server.expect("it starts");
    let mut client = server.client();
    let error = |client: &mut Client| client.call(&["BACKUP", "STATUS"]).field("error").text();
    client.check("SET a 1", "+OK~");
    // While the base is written.
    faults.write.store(ENOSPC, SeqCst);
    client.check("BACKUP START", "+OK~");
    eventually("it fails", || state(&mut client) == "failed");
    assert_eq!(error(&mut client), "No space left on device");
    client.check("SET a 2", "+OK~");
    faults.write.store(0, SeqCst);
    eventually("nothing is left", || is_empty(&server));
    // While changes are written.
    begin(&mut client);
    faults.write.store(EIO, SeqCst);
    client.check("SET a 3", "+OK~");
    eventually("it fails", || state(&mut client) == "failed");
    assert_eq!(error(&mut client), "Input/output error");
    client.check("BACKUP SEAL", "-ERR No backup ready to seal~");
    faults.write.store(0, SeqCst);
    eventually("nothing is left", || is_empty(&server));
    // While it is sealed: the sync, then the manifest.
    for (fault, number, text) in
        [(&faults.sync, EIO, "Input/output error"), (&faults.names, EROFS, "Read-only file system")]
    {
        begin(&mut client);
        client.check("SET a 4", "+OK~");
        fault.store(number, SeqCst);
        client.check("BACKUP SEAL", &format!("-ERR Can't seal the backup: {text}~"));
        assert_eq!(state(&mut client), "failed");
        fault.store(0, SeqCst);
        client.check("BACKUP CLEANUP", "+OK~");
        // Where names could not be changed, they could not be removed either; cleaning up does.
        eventually("nothing is left", || is_empty(&server));
    }
    begin(&mut client);
    client.check("BACKUP SEAL", "+OK~");
    restored(&list(&mut client)).client().check("GET a", "$1~4~");
}

/// The journal is read by a backup until it is sealed or given up, and no longer: it would keep all changes for it.
#[test]
fn a_backup_that_has_ended_reads_no_changes() {
    for end in ["BACKUP SEAL", "BACKUP ABORT"] {
        let server = TestServer::start();
        let mut client = server.client();
        begin(&mut client);
        let journal = server.handle().server().journal();
        assert!(journal.is_heard());
        client.check("SET a 1", "+OK~");
        client.check(end, "+OK~");
        eventually("it reads no more", || !journal.is_heard());
        assert_eq!(journal.memory_bytes(), 0, "{end}");
    }
}
