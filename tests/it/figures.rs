//! INFO as clients parse it: the fields of each section, in their order, and the form of their values.

use crate::harness::*;

/// The form of a value: runs of digits become `9`, each digit of a fraction `9`, so that what is measured
/// does not matter.
fn form(value: &str) -> String {
    let (mut form, mut in_fraction, mut in_number) = (String::new(), false, false);
    for letter in value.chars() {
        if !letter.is_ascii_digit() {
            (in_fraction, in_number) = (letter == '.' && in_number, false);
            form.push(letter);
        } else if in_fraction || !in_number {
            in_number = true;
            form.push('9');
        }
    }
    form
}

/// A line of INFO with its value's form; what is of the machine or the process is left out.
fn line(line: &str) -> String {
    let Some((name, value)) = line.split_once(':') else { return line.to_owned() };
    let value = match name {
        "os" | "executable" | "config_file" | "run_id" | "master_replid" => "*".to_owned(),
        // The difference of two measures of the whole process, with either sign.
        "allocator_rss_bytes" | "mem_fragmentation_bytes" => form(value.trim_start_matches('-')),
        // Of what the process has handed out, so the unit varies.
        _ if name.ends_with("_human") => {
            form(value).replace(['B', 'K', 'M', 'G'], "U").replace("9.99U", "9U")
        }
        _ => form(value),
    };
    format!("{name}:{value}")
}

fn forms(client: &mut Client, title: &str) -> String {
    let text = client.value("INFO everything").text();
    let lines: Vec<String> = text.lines().map(line).collect();
    format!("=== {title} ===\n{}\n", lines.join("\n"))
}

/// Servers in whose INFO all fields stand that depend on something.
fn all_forms() -> String {
    let mut all = String::new();
    let server = TestServer::with(&[("read-only-port", &free_port().to_string())]);
    let mut client = server.client();
    for request in
        ["SET k v", "SET e v PX 5000", "GET k", "BLAH", "HSET h f v", "EVAL \"return 1\" 0", "SELECT 3"]
    {
        client.raw(request);
    }
    client.raw("SET in3 v");
    all += &forms(&mut client, "primary");
    all += &forms(&mut server.read_only_client(), "read-only port");
    let loading = &server.handle().server().loading;
    loading.begin_beside(START_MS);
    loading.expect(1000);
    loading.add_bytes(333);
    all += &forms(&mut client, "loading");
    loading.end();
    client.raw("CLIENT PAUSE 1000 WRITE");
    client.raw("CONFIG SET latency-tracking no");
    all += &forms(&mut client, "paused");
    let pairs = [
        ("appendonly", "yes"),
        ("min-replicas-to-write", "1"),
        ("cluster-enabled", "yes"),
        ("maxmemory", "1gb"),
    ];
    let server = TestServer::with(&pairs);
    all += &forms(&mut server.client(), "append-only cluster");
    let closed = free_port().to_string();
    let server = TestServer::with(&[("replicaof", &format!("127.0.0.1 {closed}"))]);
    all += &forms(&mut server.client(), "replica without link");
    all
}

/// Clients and tools look fields up by name and read values by their form; some by their place.
#[test]
fn info_has_its_fields_in_their_order_and_form() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/info.txt");
    let now = all_forms();
    let pinned = std::fs::read_to_string(&path).unwrap_or_default();
    if pinned != now {
        let beside = std::env::temp_dir().join("kvarts-info.txt");
        std::fs::write(&beside, &now).expect("it can be written");
        panic!("INFO is not what tests/it/info.txt says: compare it with {}", beside.display());
    }
}
