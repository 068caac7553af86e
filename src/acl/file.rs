//! The file of users (`aclfile`): reading and writing it.

use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::role::Role;
use super::rules::{RuleError, Rules, has_blanks, join_selectors};
use super::{Acl, Users};

/// Largest file read, in bytes.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Reads a file's users, all or none. Users of the same name keep their numbers.
///
/// # Errors
/// What is wrong with the file or its lines, under the name it was given by, as text for the client.
pub fn load(acl: &Acl, path: &Path, name: &str, rules: &Rules<'_>) -> Result<(), String> {
    let content = read(path).map_err(|error| {
        format!("Error loading ACLs, opening file '{name}': {}", crate::config::system_words(&error))
    })?;
    acl.change(|users| {
        let loaded = parse(&content, name, rules, users)?;
        *users = loaded;
        Ok(())
    })
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(std::fs::File::open(path)?, FILE_BYTES_MAX + 1), &mut content)?;
    if content.len() as u64 > FILE_BYTES_MAX { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(content) }
}

/// Makes the roles and users of a file's lines, and the default user in any case.
fn parse(content: &[u8], name: &str, rules: &Rules<'_>, present: &Users) -> Result<Users, String> {
    let mut loaded = Users::new(rules.commands.entries().len(), b"");
    loaded.next_id = present.next_id;
    let mut errors = String::new();
    let lines: Vec<(usize, Vec<&[u8]>)> = (1..)
        .zip(content.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii))
        .filter(|(_, line)| !line.is_empty())
        .map(|(number, line)| (number, line.split(|&byte| byte == b' ').collect()))
        .collect();
    // Users name roles, wherever these stand.
    for (number, words) in &lines {
        if let [b"role", role_name, words @ ..] = words.as_slice() {
            read_role(&mut loaded, role_name, words, rules)
                .unwrap_or_else(|error| errors += &error.replace(WHERE, &format!("{name}:{number}")));
        }
    }
    let mut names = std::collections::BTreeSet::new();
    for (number, words) in lines {
        if words[0] == b"role" && words.len() > 1 {
            continue;
        }
        let [b"user", user_name, words @ ..] = words.as_slice() else {
            errors += &format!("{name}:{number} should start with user keyword followed by the username. ");
            continue;
        };
        let shown = String::from_utf8_lossy(user_name);
        if has_blanks(user_name) {
            errors += &format!("'{name}:{number}: username '{shown}' contains invalid characters. ");
            continue;
        }
        if !names.insert(user_name.to_vec()) {
            errors += &format!("WARNING: Duplicate user '{shown}' found on line {number}. ");
            continue;
        }
        let Ok(words) = join_selectors(words) else {
            errors += &format!("{name}:{number}: Unmatched parenthesis in selector definition. ");
            continue;
        };
        let mut user = match present.get(user_name) {
            Some(present) => rules.new_user(user_name, present.id),
            None => loaded.get_or_new(user_name, rules),
        };
        let rules = Rules { roles: &loaded.roles, ..*rules };
        if let Err(error) = apply_all(&words, |word| rules.apply(&mut user, word)) {
            errors += &error.replace(WHERE, &format!("{name}:{number}"));
            continue;
        }
        loaded.put(user);
    }
    if errors.is_empty() {
        return Ok(loaded);
    }
    Err(format!(
        "{errors}WARNING: ACL errors detected, no change to the previously active ACL rules was performed"
    ))
}

/// Makes the role of a line.
fn read_role(loaded: &mut Users, name: &[u8], words: &[&[u8]], rules: &Rules<'_>) -> Result<(), String> {
    let shown = String::from_utf8_lossy(name);
    if has_blanks(name) || rules.is_taken(name) {
        return Err(format!(
            "{WHERE}: role name '{shown}' is that of a command or contains invalid characters. "
        ));
    }
    if loaded.roles.contains_key(name) {
        return Err(format!("WARNING: Duplicate role '{shown}' found at {WHERE}. "));
    }
    let words = join_selectors(words)
        .map_err(|_| format!("{WHERE}: Unmatched parenthesis in selector definition. "))?;
    let mut role = Role::new(name, rules.commands.entries().len());
    apply_all(&words, |word| rules.apply_to_role(&mut role, word))?;
    loaded.put_role(role);
    Ok(())
}

/// Placeholder for file and line in an error.
const WHERE: &str = "\0";

/// Applies all rules of a line. Errors are all unknown commands, and the first other one, which later ones
/// may follow from.
fn apply_all(words: &[Vec<u8>], mut apply: impl FnMut(&[u8]) -> Result<(), RuleError>) -> Result<(), String> {
    let mut errors = String::new();
    let mut other = false;
    for word in words {
        match apply(word.trim_ascii()) {
            Ok(()) => {}
            Err(error @ RuleError::Unknown) => {
                let word = super::rules::without_passwords(word);
                let word = String::from_utf8_lossy(&word);
                errors += &format!("{WHERE}: Error in applying operation '{word}': {error}. ");
            }
            Err(_) if other => {}
            Err(error) => {
                other = true;
                errors += &format!("{WHERE}: {error}. ");
            }
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

/// Writes all roles and users into a file. Whatever happens, the file is the old one or the new one.
///
/// # Errors
/// The file cannot be written.
pub fn save(acl: &Acl, path: &Path) -> io::Result<()> {
    let mut content = Vec::new();
    for role in acl.roles().values() {
        content.extend_from_slice(&role.line());
        content.push(b'\n');
    }
    for user in acl.all_users() {
        content.extend_from_slice(&user.line());
        content.push(b'\n');
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
    // Only the owner may read the hashes of passwords, unless the old file was readable to others.
    let mode = std::fs::metadata(path).map_or(0o600, |old| old.permissions().mode() & 0o777);
    let written = (|| {
        let mut file = std::fs::File::create(&temporary)?;
        file.set_permissions(std::fs::Permissions::from_mode(mode))?;
        file.write_all(&content)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)?;
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::File::open(folder)?.sync_all()?;
        }
        Ok(())
    })();
    if written.is_err() {
        drop(std::fs::remove_file(&temporary));
    }
    written
}
