//! `kvarts tls export`: the files that people need for TLS, in a folder of their choice.

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::Path;

use crate::config::cli;
use crate::net::tls::export;

const USAGE: &str = "usage: kvarts tls export [FILE] --dir FOLDER [--server-dir FOLDER] [--DIRECTIVE VALUE...]...

Writes into FOLDER what a client has to trust (ca.crt in PEM, ca.p12 as a PKCS #12 truststore for Java, password
kvarts) and the server's certificate with its key (server.crt, server.key, in PEM). They are those of the server with
this configuration; where it has none yet they are made as it would make them, below --server-dir, which is the
server's dir (this folder), and a last line says where a new authority was made.";

/// Exit statuses.
const DONE: u8 = 0;
const FAILED: u8 = 1;
const MISUSED: u8 = 2;

/// Does what the program's arguments (without its name) ask for, and returns its exit status. `None` where
/// they ask for something else.
pub fn run(arguments: &[OsString], out: &mut dyn Write) -> Option<u8> {
    let [first, rest @ ..] = arguments else { return None };
    if first != "tls" {
        return None;
    }
    let (status, text) = match rest {
        [second, rest @ ..] if second == "export" => export_into(rest),
        _ => (MISUSED, USAGE.to_owned()),
    };
    // Nobody may be there to read it.
    drop(writeln!(out, "{text}"));
    Some(status)
}

fn export_into(arguments: &[OsString]) -> (u8, String) {
    let (mut folder, mut others) = (None, vec![OsString::from("kvarts")]);
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        if word == "--dir" {
            folder = words.next();
        } else if word == "--server-dir" {
            others.push(OsStr::new("--dir").to_owned());
        } else {
            others.push(word.clone());
        }
    }
    let Some(folder) = folder else { return (MISUSED, USAGE.to_owned()) };
    let config = match cli::from_args(others) {
        Ok(config) => config,
        Err(error) => return (MISUSED, error.to_string()),
    };
    let done = export(config, Path::new(folder));
    let (status, mut lines) = match done.written {
        Ok(paths) => (DONE, paths.iter().map(|path| path.display().to_string()).collect()),
        Err(error) => (FAILED, vec![error.to_string()]),
    };
    lines.extend(done.new_authority.map(|folder| format!("new authority made in {}", folder.display())));
    (status, lines.join("\n"))
}
