//! Which requests are the console's own. Whoever looks at a page from elsewhere has its scripts send requests
//! from this very machine; these are told by what browsers say of a request, and refused:
//!
//! - `Host` has to be a name that the console goes by, so that no foreign name that is made to point here
//!   makes a foreign page one of ours (DNS rebinding);
//! - `Origin` and `Sec-Fetch-Site`, where they are sent, have to name this very page;
//! - requests that do something need a header that a page from elsewhere may not send without asking, and
//!   that question is answered with a refusal.

use std::net::IpAddr;
use std::sync::Arc;

use hyper::StatusCode;
use hyper::header::{COOKIE, HOST, HeaderMap, HeaderName, ORIGIN};

use super::sessions::LoggedIn;
use crate::config::Directive;
use crate::engine::Server;
use crate::http::routes::{Asked, Ends};
use crate::net::inside::Visitor;

/// The header that requests of the page have: `1`, or `auto` where nobody did anything for it.
const OURS: HeaderName = HeaderName::from_static("x-kvarts-console");

/// Why a request is refused.
#[derive(Clone, Copy, Debug)]
pub(in crate::http) struct Refused {
    pub status: StatusCode,
    pub reason: &'static str,
}

const fn forbidden(reason: &'static str) -> Refused {
    Refused { status: StatusCode::FORBIDDEN, reason }
}

/// Whether a user has to log in.
const LOG_IN: Refused =
    Refused { status: StatusCode::UNAUTHORIZED, reason: "log in with the name and password of a user" };

/// A request that passed.
pub(super) struct Admitted {
    pub server: Arc<Server>,
    pub visitor: Visitor,
    /// Whoever logged in; `None` where nobody has to.
    pub logged_in: Option<LoggedIn>,
}

/// Whether the request comes from the console's own page, from a place where it may be used.
///
/// # Errors
/// Why not.
pub(super) fn is_ours(asked: &Asked) -> Result<Arc<Server>, Refused> {
    let server = asked.site.server.upgrade();
    let server =
        server.ok_or(Refused { status: StatusCode::SERVICE_UNAVAILABLE, reason: "the server ends" })?;
    let headers = &asked.head.headers;
    may_be_called(&server, headers)?;
    if !is_of_page(headers, asked.ends.tls) {
        return Err(forbidden("this request comes from a page of another origin"));
    }
    if !headers.contains_key(&OURS) {
        return Err(forbidden("a request to the console has the header X-Kvarts-Console: 1"));
    }
    let visitor = visitor(asked.ends);
    if server.is_protected() && !visitor.is_local() {
        return Err(forbidden(
            "protected mode is on and the default user has no password: the console is for this machine only",
        ));
    }
    Ok(server)
}

/// [`is_ours`], and whoever makes the request has logged in or need not.
///
/// # Errors
/// Why not.
pub(super) fn admit(asked: &Asked) -> Result<Admitted, Refused> {
    let server = is_ours(asked)?;
    let headers = &asked.head.headers;
    let uses = headers.get(&OURS).is_some_and(|value| value != "auto");
    let secret = secret(headers, asked.ends);
    let logged_in = secret.and_then(|secret| asked.site.console.sessions.find(secret, uses, &server));
    if logged_in.is_none() && !server.acl.default_user().is_open() {
        return Err(LOG_IN);
    }
    Ok(Admitted { server, visitor: visitor(asked.ends), logged_in })
}

/// Whether the console is served, under the name by which it is called.
///
/// # Errors
/// Why not.
pub(super) fn may_be_called(server: &Server, headers: &HeaderMap) -> Result<(), Refused> {
    if server.config.word(Directive::Console) == "no" {
        return Err(Refused { status: StatusCode::NOT_FOUND, reason: "the console is switched off" });
    }
    let Some(host) = named_host(headers)?.filter(|host| !host.is_empty()) else {
        return Err(Refused { status: StatusCode::BAD_REQUEST, reason: "the request names no host" });
    };
    if goes_by(server, host) {
        return Ok(());
    }
    Err(Refused {
        status: StatusCode::MISDIRECTED_REQUEST,
        reason: "the console does not go by this name: the directive console-hosts lists the names it goes by",
    })
}

/// Whether this is a name of the server, or an address.
fn goes_by(server: &Server, host: &str) -> bool {
    let is_known = |directive| {
        let names = server.config.words(directive);
        names.iter().any(|name: &String| name.trim_start_matches('-').eq_ignore_ascii_case(host))
    };
    let is_address = host.parse::<IpAddr>().is_ok();
    let is_loopback = host.eq_ignore_ascii_case("localhost");
    is_address || is_loopback || is_known(Directive::ConsoleHosts) || is_known(Directive::MetricsBind)
}

/// Whether the answer to a request that says nothing of its user may name keys: not where a page from elsewhere may
/// read it in a browser on this network, as one whose name was made to point here. What sends no Host is no browser,
/// and over TLS the browser has held the name against the certificate.
pub(in crate::http) fn may_be_told_names(server: &Server, headers: &HeaderMap, tls: bool) -> bool {
    let host = if tls { Ok(None) } else { named_host(headers) };
    host.is_ok_and(|host| host.is_none_or(|host| goes_by(server, host)))
}

/// The name or address by which a request calls this server, without its port; `None` where it does not say. It may be
/// empty.
///
/// # Errors
/// There are several, or it is none: what stands before this server may have read another one than this would.
pub(in crate::http) fn named_host(headers: &HeaderMap) -> Result<Option<&str>, Refused> {
    let mut hosts = headers.get_all(HOST).into_iter();
    let Some(first) = hosts.next() else { return Ok(None) };
    let name = first.to_str().ok().and_then(host_name).filter(|_| hosts.next().is_none());
    let reason = "a request has one Host header, a name or address and maybe a port";
    name.map(Some).ok_or(Refused { status: StatusCode::BAD_REQUEST, reason })
}

/// The name or address in a Host header, without its port; `None` where it is not well-formed.
fn host_name(host: &str) -> Option<&str> {
    let (name, rest) = match host.strip_prefix('[') {
        Some(inner) => inner.split_once(']')?,
        None => host.split_at(host.find(':').unwrap_or(host.len())),
    };
    let port = if rest.is_empty() { rest } else { rest.strip_prefix(':')? };
    let is_port = port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
    (port.is_empty() || is_port).then(|| name.strip_suffix('.').unwrap_or(name))
}

/// Whether a browser, if one sent it, says that the request is of a page from here. Over TLS a page that came
/// without it is none: somebody on the way may have made it. Without, something before this server may speak TLS.
fn is_of_page(headers: &HeaderMap, tls: bool) -> bool {
    let site = headers.get("sec-fetch-site");
    if site.is_some_and(|site| site != "same-origin" && site != "none") {
        return false;
    }
    let Some(origin) = headers.get(ORIGIN) else { return true };
    let named = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    named.zip(host).is_some_and(|((scheme, named), host)| {
        (scheme == "https" || scheme == "http" && !tls) && named.eq_ignore_ascii_case(host)
    })
}

/// Whether the page came over TLS, by this server or something before it.
pub(super) fn is_over_tls(headers: &HeaderMap, ends: Ends) -> bool {
    ends.tls || headers.get(ORIGIN).is_some_and(|origin| origin.as_bytes().starts_with(b"https://"))
}

/// The name of the session's cookie. Browsers keep cookies by host, whatever the port, and there may be
/// several servers on a host.
pub(super) fn cookie_name(ends: Ends) -> String {
    format!("kvarts_console_{}", ends.local.port())
}

/// The session's secret in a request.
pub(super) fn secret(headers: &HeaderMap, ends: Ends) -> Option<&str> {
    let name = cookie_name(ends);
    let cookies = headers.get_all(COOKIE).into_iter().filter_map(|line| line.to_str().ok());
    let mut cookies = cookies.flat_map(|line| line.split(';')).map(str::trim);
    cookies.find_map(|cookie| cookie.strip_prefix(name.as_str())?.strip_prefix('='))
}

/// Whom a request's command acts for.
pub(super) fn visitor(ends: Ends) -> Visitor {
    Visitor { address: ends.peer, local: ends.local }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().expect("a value")))
            .collect()
    }

    #[test]
    fn hosts_are_read_without_their_port() {
        for (host, name) in [
            ("localhost", Some("localhost")),
            ("localhost:9121", Some("localhost")),
            ("localhost:", Some("localhost")),
            ("[::1]:9121", Some("::1")),
            ("[::1]", Some("::1")),
            ("a.example.:80", Some("a.example")),
            ("", Some("")),
            ("[::1", None),
            ("[::1]evil", None),
            ("localhost:1@evil", None),
            ("localhost:+1", None),
            ("localhost:65536", None),
            ("::1", None),
        ] {
            assert_eq!(host_name(host), name, "{host}");
        }
    }

    #[test]
    fn a_request_of_another_page_is_told() {
        let of = |pairs: &[(&'static str, &'static str)]| is_of_page(&headers(pairs), false);
        let host = ("host", "a:1");
        assert!(of(&[host]));
        assert!(of(&[host, ("origin", "http://a:1"), ("sec-fetch-site", "same-origin")]));
        assert!(of(&[host, ("origin", "https://A:1")]));
        for origin in ["null", "http://a", "http://a:2", "http://evil", "ftp://a:1", "a:1", "http://a:1/"] {
            let origin = ("origin", origin);
            assert!(!of(&[host, origin]), "{origin:?}");
        }
        for site in ["cross-site", "same-site", "x"] {
            assert!(!of(&[host, ("sec-fetch-site", site)]), "{site}");
        }
        assert!(!of(&[("origin", "http://a:1")]));
        let over_tls = |origin| is_of_page(&headers(&[host, ("origin", origin)]), true);
        assert!(over_tls("https://a:1") && !over_tls("http://a:1"));
    }
}
