//! The console's API: who is logged in, commands and their replies, figures, streams of messages. All content is JSON.
//! docs/console.md describes it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::header::{HeaderValue, SET_COOKIE};
use hyper::{Response, StatusCode};
use serde_json::Value;
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;

use super::conditional::{Condition, converse_if};
use super::conversation::{Commands, converse};
use super::guard::{self, Admitted, Refused};
use super::reply::quote;
use super::stream::Lines;
use crate::acl::readable::ReadableKeys;
use crate::acl::user::User;
use crate::command::spec::Flags;
use crate::config::{self, Directive, Effect};
use crate::engine::Server;
use crate::figures::{Metric, Sample};
use crate::http::routes::{self, Answer, Asked, Body};
use crate::net::inside::{self, Visit};

/// Bytes of a request with commands.
const BODY_MAX_BYTES: usize = 1 << 20;

/// Bytes of a request without.
const SMALL_BODY_MAX_BYTES: usize = 16 << 10;

/// Most bytes to which long strings are shortened at a request's wish.
const CUT_MAX_BYTES: u64 = 1 << 20;

/// Names of metrics that may be asked for at once.
const NAMES_MAX: usize = 100;

const JSON: &str = "application/json";

type Reply = Result<Response<Body>, Refused>;

/// Too many requests wait.
const BUSY: Refused = Refused {
    status: StatusCode::SERVICE_UNAVAILABLE,
    reason: "sixteen requests to the console wait already: try again",
};

/// A request that says nothing sensible.
pub(super) const fn bad(reason: &'static str) -> Refused {
    Refused { status: StatusCode::BAD_REQUEST, reason }
}

pub(super) fn answer(reply: impl Future<Output = Reply> + Send + 'static) -> Answer {
    Box::pin(async move { reply.await.unwrap_or_else(|refused| refusal(&refused)) })
}

/// The answer to a request that is refused.
pub(in crate::http) fn refusal(refused: &Refused) -> Response<Body> {
    let mut json = String::from("{\"error\":");
    quote(refused.reason, &mut json);
    json.push_str("}\n");
    routes::of(refused.status, JSON, json.into())
}

pub(super) fn json(text: String) -> Response<Body> {
    routes::of(StatusCode::OK, JSON, text.into())
}

async fn content(body: Incoming, max_bytes: usize) -> Result<Bytes, Refused> {
    const TOO_LARGE: Refused =
        Refused { status: StatusCode::PAYLOAD_TOO_LARGE, reason: "the request's content is too large" };
    // What is announced to be too large need not be read.
    if body.size_hint().lower() > max_bytes as u64 {
        return Err(TOO_LARGE);
    }
    match Limited::new(body, max_bytes).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(_) => Err(TOO_LARGE),
    }
}

async fn object(body: Incoming, max_bytes: usize) -> Result<Value, Refused> {
    let content = content(body, max_bytes).await?;
    serde_json::from_slice(&content).map_err(|_| bad("the request's content is no JSON"))
}

/// GET /api/session: who is logged in, and what the page has to know before anything else.
pub(in crate::http) fn session(asked: Asked) -> Answer {
    answer(async move {
        let server = guard::is_ours(&asked)?;
        let user = match guard::admit(&asked) {
            // As it is now: its rights may have changed since it logged in.
            Ok(Admitted { logged_in: Some(logged_in), .. }) => {
                server.acl.present(&logged_in.user).0.or(Some(logged_in.user))
            }
            Ok(_) => Some(server.acl.default_user()),
            Err(_) => None,
        };
        Ok(json(described(&server, user.as_deref())))
    })
}

/// What a page may know: little before somebody has logged in.
fn described(server: &Server, user: Option<&User>) -> String {
    let is_open = server.acl.default_user().is_open();
    let Some(user) = user else { return format!("{{\"user\":null,\"open\":{is_open}}}\n") };
    let mut json = String::from("{\"user\":");
    quote(&String::from_utf8_lossy(&user.name), &mut json);
    // Writing to a string cannot fail.
    let _ = write!(
        json,
        ",\"open\":{is_open},\"read_only\":{},\"databases\":{},\"cluster\":{},\"profile\":{},\"all_keys\":{},\"version\":\"{}\",\"denied\":[",
        server.config.word(Directive::Console) == "read-only",
        server.keyspace.database_count(),
        server.cluster.is_enabled(),
        server.profile.is_some(),
        ReadableKeys::of_user(user).are_all(),
        env!("CARGO_PKG_VERSION"),
    );
    // The page offers nothing that would be refused. Whether keys are in the way shows when it is tried.
    let is_denied = |id| !user.all_selectors().any(|selector| selector.allows_command(id, None));
    let denied = server.commands.entries().iter().filter(|entry| is_denied(entry.id));
    for (place, entry) in denied.enumerate() {
        json.push_str(if place > 0 { "," } else { "" });
        quote(&entry.full_name, &mut json);
    }
    json.push_str("]}\n");
    json
}

/// POST /api/session with `{"user": …, "password": …}`: logs in.
pub(in crate::http) fn log_in(asked: Asked) -> Answer {
    answer(async move {
        let server = guard::is_ours(&asked)?;
        let Asked { site, ends, head, body, .. } = asked;
        let _waits = site.console.waits().ok_or(BUSY)?;
        let given = object(body, SMALL_BODY_MAX_BYTES).await?;
        let field = |name| given.get(name).and_then(Value::as_str).map(|text| text.as_bytes().to_vec());
        let name = field("user").ok_or(bad("user is the name of a user"))?;
        let password = field("password").ok_or(bad("password is the user's password"))?;
        let visitor = guard::visitor(ends);
        let user = inside::log_in(Arc::clone(&server), &site.tasks, visitor, name, password).await;
        let user = user.ok_or(Refused {
            status: StatusCode::UNAUTHORIZED,
            reason: "wrong user name or password, or the user is off",
        })?;
        let sessions = &site.console.sessions;
        if let Some(secret) = guard::secret(&head.headers, ends) {
            sessions.end(secret);
        }
        let mut response = json(described(&server, Some(&user)));
        let secret = sessions.begin(user, server.clock.now_ms()).ok_or(Refused {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            reason: "the system gave no random numbers",
        })?;
        let secure = if guard::is_over_tls(&head.headers, ends) { "; Secure" } else { "" };
        let name = guard::cookie_name(ends);
        set_cookie(&mut response, &format!("{name}={secret}; Path=/; HttpOnly; SameSite=Strict{secure}"));
        Ok(response)
    })
}

/// DELETE /api/session: logs out.
pub(in crate::http) fn log_out(asked: Asked) -> Answer {
    answer(async move {
        let server = guard::is_ours(&asked)?;
        if let Some(secret) = guard::secret(&asked.head.headers, asked.ends) {
            asked.site.console.sessions.end(secret);
        }
        let default = server.acl.default_user();
        let mut response = json(described(&server, default.is_open().then_some(&*default)));
        let name = guard::cookie_name(asked.ends);
        set_cookie(&mut response, &format!("{name}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0"));
        Ok(response)
    })
}

fn set_cookie(response: &mut Response<Body>, cookie: &str) {
    if let Ok(value) = HeaderValue::from_str(cookie) {
        response.headers_mut().insert(SET_COOKIE, value);
    }
}

/// POST /api/command with `{"commands": [[…], …], "database": n, "read_only": true, "cut": n, "quiet": true}`: runs
/// commands one behind the other on a connection of their own, and answers their replies, strings longer than `cut`
/// bytes shortened. With `quiet` what is asked without the right to it is answered and not counted as refused. With
/// `"if": {"key": …, "command": […], "reply": …}` they run as a transaction, where that command still answers this.
pub(in crate::http) fn command(asked: Asked) -> Answer {
    answer(async move {
        let admitted = guard::admit(&asked)?;
        let Asked { site, place, body, .. } = asked;
        let _waits = site.console.waits().ok_or(BUSY)?;
        let given = object(body, BODY_MAX_BYTES).await?;
        let mut commands = Commands::of(given.get("commands")).map_err(bad)?;
        let answers_by_messages = |words: &Vec<Vec<u8>>| {
            let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
            let entry = admitted.server.commands.resolve_request(&words);
            entry.is_ok_and(|entry| entry.spec.flags.has(Flags::PUSHES))
        };
        let condition = given.get("if").map(Condition::of).transpose().map_err(bad)?;
        let looks = condition.iter().flat_map(|condition| &condition.look.words);
        if commands.words.iter().chain(looks).any(answers_by_messages) {
            return Err(bad("a command that answers by messages wants a stream"));
        }
        let cut =
            given.get("cut").map(|cut| cut.as_u64().filter(|bytes| (1..=CUT_MAX_BYTES).contains(bytes)));
        let cut = cut.map(|bytes| bytes.ok_or(bad("cut is a number of bytes, 1 to 1048576"))).transpose()?;
        let mut stream = connect(&admitted, &site.tasks, &given)?;
        if condition.is_none() && given.get("quiet").and_then(Value::as_bool).unwrap_or_default() {
            let database = given.get("database").and_then(Value::as_u64).unwrap_or_default();
            commands.refused = known_refusals(&admitted, &commands, database as usize);
        }
        let cut = cut.map(|bytes| bytes as usize);
        let replies = match &condition {
            Some(condition) => converse_if(&mut stream, condition, &commands, &place.late).await,
            None => converse(&mut stream, &commands, cut, &place.late).await,
        };
        let mut text =
            format!("{{\"replies\":[{}],\"took_us\":{},\"stopped\":", replies.json, replies.took_us);
        match replies.stopped {
            Some(reason) => quote(reason, &mut text),
            None => text.push_str("null"),
        }
        if let Some(found) = replies.found {
            text.push_str(",\"found\":");
            text.push_str(&found);
        }
        text.push_str("}\n");
        Ok(json(text))
    })
}

/// POST /api/stream with the same: answers everything that the commands bring, a line of JSON each, for as
/// long as the page reads it.
pub(in crate::http) fn stream(asked: Asked) -> Answer {
    answer(async move {
        let admitted = guard::admit(&asked)?;
        let Asked { site, place, body, .. } = asked;
        let slot = site.console.stream().ok_or(Refused {
            status: StatusCode::TOO_MANY_REQUESTS,
            reason: "there are eight streams already: close one",
        })?;
        // What fits into the socket is sent without waiting for anybody.
        let given = object(body, SMALL_BODY_MAX_BYTES).await?;
        let commands = Commands::of(given.get("commands")).map_err(bad)?;
        let stream = connect(&admitted, &site.tasks, &given)?;
        let mut sender = stream;
        let sent = tokio::io::AsyncWriteExt::write_all(&mut sender, &commands.encoded()).await;
        sent.map_err(|_| bad("the server closed the connection"))?;
        let ended = admitted.logged_in.map_or_else(CancellationToken::new, |logged_in| logged_in.ended);
        let lines = Lines::new(sender, place, site.server.clone(), ended, slot);
        Ok(routes::sends(StatusCode::OK, "application/x-ndjson", BodyExt::boxed_unsync(lines)))
    })
}

/// The commands that change nothing and that the user may not run, by their place, with the error that each would
/// have. A page that asks for what it shows makes no attempt that ACL LOG and the counts of errors should tell of.
fn known_refusals(admitted: &Admitted, commands: &Commands, database: usize) -> BTreeMap<usize, String> {
    let server = &admitted.server;
    // A user that is gone is told so by the connection.
    let Some(user) = present_user(admitted).filter(|user| !user.is_unrestricted()) else {
        return BTreeMap::new();
    };
    let refusal = |words: &Vec<Vec<u8>>| {
        let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        let entry = server.commands.resolve_request(&words).ok()?;
        let asks = !entry.spec.flags.has(Flags::WRITE);
        let denied = server.examine_user(&user, entry, &words, database).err().filter(|_| asks)?;
        Some(format!("NOPERM {}", Server::denial_text(&user, entry, denied)))
    };
    let refusals = commands.words.iter().enumerate();
    refusals.filter_map(|(place, words)| Some((place, refusal(words)?))).collect()
}

/// The user that a request acts for, as it is now; `None` where it is gone.
fn present_user(admitted: &Admitted) -> Option<Arc<User>> {
    match &admitted.logged_in {
        Some(logged_in) => admitted.server.acl.present(&logged_in.user).0,
        None => Some(admitted.server.acl.default_user()),
    }
}

fn connect(
    admitted: &Admitted,
    tasks: &tokio::runtime::Handle,
    given: &Value,
) -> Result<UnixStream, Refused> {
    let server = &admitted.server;
    let database = given.get("database").map_or(Some(0), Value::as_u64);
    let database = database.and_then(|number| usize::try_from(number).ok());
    let database = database.filter(|number| *number < server.keyspace.database_count());
    let only_reads = given.get("read_only").and_then(Value::as_bool).unwrap_or_default();
    let visit = Visit {
        visitor: admitted.visitor.clone(),
        user: admitted.logged_in.as_ref().map(|logged_in| Arc::clone(&logged_in.user)),
        database: database.ok_or(bad("there is no such database"))?,
        views_only: only_reads || server.config.word(Directive::Console) == "read-only",
    };
    inside::connect(Arc::clone(server), tasks, visit).and_then(UnixStream::from_std).map_err(|error| {
        tracing::warn!(%error, "a command of the console could not be run");
        Refused { status: StatusCode::SERVICE_UNAVAILABLE, reason: "there are too many open files" }
    })
}

/// GET /api/directives: of each directive its default, what it does, and whether CONFIG SET may change it.
pub(in crate::http) fn directives(asked: Asked) -> Answer {
    answer(async move {
        guard::admit(&asked)?;
        let mut text = String::from("{");
        for (place, (spec, default)) in config::defaults().enumerate() {
            text.push_str(if place > 0 { "," } else { "" });
            quote(spec.name, &mut text);
            text.push_str(":{\"default\":");
            quote(&String::from_utf8_lossy(&default), &mut text);
            text.push_str(",\"about\":");
            quote(spec.doc, &mut text);
            // Writing to a string cannot fail.
            let _ = write!(
                text,
                ",\"mutable\":{},\"active\":{},\"secret\":{}}}",
                spec.mutable,
                spec.effect == Effect::Active,
                spec.secret
            );
        }
        text.push_str("}\n");
        Ok(json(text))
    })
}

/// GET /api/figures?names=a,b: metrics of these names, as /metrics shows them; names of keys and prefixes only to
/// a user who may read all keys.
pub(in crate::http) fn figures(asked: Asked) -> Answer {
    answer(async move {
        let admitted = guard::admit(&asked)?;
        let user = present_user(&admitted);
        let server = admitted.server;
        let reads_all = user.is_some_and(|user| ReadableKeys::of_user(&user).are_all());
        let query = asked.head.uri.query().unwrap_or_default();
        let names = query.split('&').find_map(|pair| pair.strip_prefix("names=")).unwrap_or_default();
        let names: Vec<&str> = names.split(',').collect();
        if names.len() > NAMES_MAX {
            return Err(bad("at most 100 names at once"));
        }
        let read = asked.site.scrapes.figures(&server).await.ok_or(Refused {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            reason: "the figures could not be read",
        })?;
        let (at_ms, metrics) = read;
        let mut text = format!("{{\"at_ms\":{at_ms},\"metrics\":{{");
        let mut wanted = metrics.iter().filter(|metric| names.contains(&metric.name));
        if let Some(first) = wanted.next() {
            write_metric(first, reads_all, &mut text);
        }
        for metric in wanted {
            text.push(',');
            write_metric(metric, reads_all, &mut text);
        }
        text.push_str("}}\n");
        Ok(json(text))
    })
}

/// Writes a metric: the value where there is one without labels, else an array of labels and value. Samples that name
/// keys are left out where not all may be told.
fn write_metric(metric: &Metric, names_keys: bool, text: &mut String) {
    quote(metric.name, text);
    text.push(':');
    if let [only] = metric.samples.as_slice()
        && only.labels.is_empty()
    {
        number(only.value, text);
        return;
    }
    text.push('[');
    let is_told = |sample: &&Sample| names_keys || !sample.names_keys();
    for (place, sample) in metric.samples.iter().filter(is_told).enumerate() {
        text.push_str(if place > 0 { ",[{" } else { "[{" });
        let suffix = ("suffix", sample.suffix.to_owned());
        let suffix = Some(&suffix).filter(|_| !sample.suffix.is_empty());
        for (place, (name, value)) in sample.labels.iter().chain(suffix).enumerate() {
            text.push_str(if place > 0 { "," } else { "" });
            quote(name, text);
            text.push(':');
            quote(value, text);
        }
        text.push_str("},");
        number(sample.value, text);
        text.push(']');
    }
    text.push(']');
}

/// Writes a number; JSON has none that is infinite.
pub(super) fn number(value: f64, text: &mut String) {
    // Writing to a string cannot fail.
    let _ = if value.is_finite() { write!(text, "{value}") } else { write!(text, "null") };
}
