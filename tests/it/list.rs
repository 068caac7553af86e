//! Lists whose inner nodes hold what their elements begin with once.

use crate::harness::TestServer;
use crate::wire::Client;

/// Everything that reads the list agrees with the elements.
fn agree(client: &mut Client, model: &[String]) {
    let texts = |client: &mut Client, line: &str| client.value(line).texts();
    assert_eq!(texts(client, "LRANGE l 0 -1"), model);
    assert_eq!(texts(client, "LRANGE l 900 1100"), model[900..=1100]);
    assert_eq!(texts(client, "SORT l BY nosort LIMIT 700 600"), model[700..1300]);
    let backwards: Vec<String> = model.iter().rev().skip(700).take(600).cloned().collect();
    assert_eq!(texts(client, "SORT l BY nosort DESC LIMIT 700 600"), backwards);
    for index in (0..model.len()).step_by(97) {
        assert_eq!(client.value(&format!("LINDEX l {index}")).text(), model[index]);
        let place = model.iter().position(|element| *element == model[index]).unwrap();
        assert_eq!(client.value(&format!("LPOS l {}", model[index])).int(), place as i64);
        let place = model.iter().rposition(|element| *element == model[index]).unwrap();
        assert_eq!(client.value(&format!("LPOS l {} RANK -1", model[index])).int(), place as i64);
    }
    // What others have of it: a copy, the bytes that are dumped, its digest.
    client.check("COPY l copy REPLACE", ":1~");
    assert_eq!(texts(client, "LRANGE copy 0 -1"), model);
    assert_eq!(client.value("DUMP copy"), client.value("DUMP l"));
    client.value("DEL plain");
    for chunk in model.chunks(500) {
        client.value(&format!("RPUSH plain {}", chunk.join(" ")));
    }
    let digest = |client: &mut Client, key| client.value(&format!("DEBUG DIGEST-VALUE {key}")).texts();
    assert_eq!(digest(client, "plain"), digest(client, "l"));
}

#[test]
fn elements_with_a_common_prefix_are_read_and_changed_as_others() {
    let server = TestServer::with(&[("enable-debug-command", "yes")]);
    let mut client = server.client();
    let mut model: Vec<String> = (0..6000).map(|number| format!("invoice:2026:{number}")).collect();
    for (at, number) in [(1000, "7"), (2500, "invoice:2026:"), (4000, "-12345")] {
        model[at] = number.to_owned();
    }
    for chunk in model.chunks(500) {
        client.value(&format!("RPUSH l {}", chunk.join(" ")));
    }
    assert!(client.value("MEMORY USAGE l").int() < 6 * 12_000, "prefixes are not shared");
    agree(&mut client, &model);

    client.check("LSET l 3000 other", "+OK~");
    model[3000] = "other".to_owned();
    client.check("LINSERT l BEFORE invoice:2026:1500 invoice:2026:x", ":6001~");
    model.insert(1500, "invoice:2026:x".to_owned());
    client.check("LREM l 1 invoice:2026:2000", ":1~");
    client.check("LREM l -1 invoice:2026:4500", ":1~");
    client.check("LREM l 0 7", ":1~");
    client.check("LREM l 0 invoice:2026:nowhere", ":0~");
    model.retain(|element| !["invoice:2026:2000", "invoice:2026:4500", "7"].contains(&element.as_str()));
    agree(&mut client, &model);

    assert_eq!(client.value("LPOP l 1200").texts(), model.drain(..1200).collect::<Vec<_>>());
    let popped: Vec<String> = model.split_off(model.len() - 900).into_iter().rev().collect();
    assert_eq!(client.value("RPOP l 900").texts(), popped);
    agree(&mut client, &model);
    client.check("LTRIM l 100 -101", "+OK~");
    model = model[100..model.len() - 100].to_vec();
    agree(&mut client, &model);
    while let Some(first) = (model.len() > 1500).then(|| model.remove(0)) {
        assert_eq!(client.value("LMOVE l other LEFT RIGHT").text(), first);
    }
    agree(&mut client, &model);
}
