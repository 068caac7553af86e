//! How the server and its clients meet: new clients, clients that left, and the addresses that clients are
//! told.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Server;
use super::client::Client;
use super::client_text;
use crate::config::Directive;
use crate::profile::Feature;
use crate::shared::client::{Door, SharedClient, names};
use crate::shared::pubsub::Kind;
use crate::shared::stats::Counter;
use crate::worker;

/// What a client is told about where the cluster is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The address: configured, or the one that the client dialled.
    pub ip: String,
    /// The host name, if one is known: that of `tls-auto-names` that a TLS client called, the configured one, or
    /// any other that it called.
    pub hostname: String,
    /// Port of the primary.
    pub port: u16,
    /// Port of the replica (the read-only port); 0 when there is none.
    pub read_only_port: u16,
    /// Port of the cluster bus. Nothing listens there: clients print it, and nothing more.
    pub bus_port: u16,
}

impl Server {
    /// A client that has just connected; its place has been taken.
    pub fn new_client(&self, address: String, local: Option<SocketAddr>, fd: i32, door: Door) -> Client {
        let id = self.clients.next_id();
        let local_address = local.map_or_else(|| address.clone(), |local| local.to_string());
        let user = self.acl.default_user();
        let authenticated = user.is_open();
        let now_ms = self.clock.now_ms();
        let shared = Arc::new(SharedClient::new(id, address, local_address, fd, door, user, now_ms));
        self.clients.add(Arc::clone(&shared));
        let mut client = Client { authenticated, is_known: authenticated, local, ..Client::new(shared) };
        self.look_at_rights(&mut client);
        client
    }

    /// A client is gone: takes it off every list.
    pub fn forget_client(&self, client: &mut Client) {
        if client.shared.is_over_limit() {
            self.stats.add(worker::current(), Counter::OutputBufferDisconnections, 1);
            // Here, whoever found it to be over the limit: the connection itself, or one that sent it a message.
            let described = client_text::describe(self, &client.shared, self.clock.now_ms());
            tracing::warn!("Client {described} closed for overcoming of output buffer limits.");
        }
        if let Some(waiter) = client.waiter.take() {
            self.effects.waiting.abandon(&waiter);
        }
        if let Some(link) = client.link.take() {
            self.end_link(*link);
        }
        self.unwatch(client);
        self.unsubscribe_all(client);
        self.end_monitor(client);
        self.end_tracking(client);
        client.shared.set_gone();
        self.clients.remove(client.shared.id);
    }

    /// The client tracks no keys any more.
    pub fn end_tracking(&self, client: &mut Client) {
        client.caching = false;
        if let Some(tracker) = client.tracker.take() {
            self.effects.tracking.end(&tracker);
            client.shared.name_bytes[names::TRACKED].store(0, Ordering::Relaxed);
        }
    }

    /// The client is shown no commands any more.
    pub fn end_monitor(&self, client: &mut Client) {
        if std::mem::take(&mut client.monitor) {
            client.shared.monitor.store(false, std::sync::atomic::Ordering::Relaxed);
            self.logs.monitors.remove(&client.shared);
        }
    }

    /// Ends all subscriptions of a client without telling it.
    pub fn unsubscribe_all(&self, client: &mut Client) {
        let subscriptions = std::mem::take(&mut client.subscriptions);
        for channel in subscriptions.channels.names() {
            self.pubsub.unsubscribe(Kind::Channel, channel, &client.shared);
        }
        for channel in subscriptions.shard_channels.names() {
            self.pubsub.unsubscribe(Kind::Shard, channel, &client.shared);
        }
        for pattern in subscriptions.patterns.names() {
            self.pubsub.punsubscribe(pattern, &client.shared);
        }
        client.publish_subscriptions();
    }

    /// Where this client is told to find the cluster.
    pub fn endpoint(&self, client: &Client) -> Endpoint {
        self.endpoint_of(client.tls, client.local, client.sni.as_deref())
    }

    /// Where a client is told to find the cluster that speaks TLS or not, has dialled an address, if one is
    /// known, and called the server by a name.
    pub fn endpoint_of(&self, tls: bool, local: Option<SocketAddr>, sni: Option<&str>) -> Endpoint {
        let configured_port = |directive| self.config.int(directive) as u16;
        let ports = *self.identity.ports.read();
        let announced = |directives: &[Directive]| {
            directives.iter().map(|directive| configured_port(*directive)).find(|port| *port != 0)
        };
        let listening = if tls && ports.tls != 0 { ports.tls } else { ports.main };
        let port = if tls {
            announced(&[Directive::ClusterAnnounceClientTlsPort, Directive::ClusterAnnounceTlsPort])
        } else {
            announced(&[Directive::ClusterAnnounceClientPort, Directive::ClusterAnnouncePort])
        };
        let port = port.unwrap_or(listening);
        let bus_port = announced(&[Directive::ClusterAnnounceBusPort, Directive::ClusterPort])
            .unwrap_or_else(|| listening.checked_add(10_000).unwrap_or(listening));
        let is_v6 = local.is_some_and(|local| local.is_ipv6());
        let family =
            if is_v6 { Directive::ClusterAnnounceClientIpv6 } else { Directive::ClusterAnnounceClientIpv4 };
        let ip = [family, Directive::ClusterAnnounceIp]
            .iter()
            .map(|directive| self.config.text(*directive).to_string())
            .find(|text| !text.is_empty())
            .unwrap_or_else(|| match local {
                Some(local) => local.ip().to_canonical().to_string(),
                None => "127.0.0.1".to_owned(),
            });
        let announced = self.config.text(Directive::ClusterAnnounceHostname);
        let mut hostname = match sni {
            Some(called) if announced.is_empty() || self.is_named(called) => called.to_owned(),
            _ => announced.to_string(),
        };
        // Some clients do not say by which name they called; of loopback it is known.
        let is_loopback = || ip.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        let ip = match self.tells_host_in_place() {
            true if !hostname.is_empty() => std::mem::take(&mut hostname),
            true if is_loopback() => "localhost".to_owned(),
            _ => ip,
        };
        Endpoint { ip, hostname, port, read_only_port: ports.read_only, bus_port }
    }

    /// Whether `tls-auto-names` has this name, so that whoever calls it can go on calling it. In a network of
    /// containers the server has another name than outside.
    fn is_named(&self, name: &str) -> bool {
        self.config.words(Directive::TlsAutoNames).iter().any(|word| word.eq_ignore_ascii_case(name))
    }

    /// Whether the profile has the host name stand where the address does.
    fn tells_host_in_place(&self) -> bool {
        self.profile.as_ref().is_some_and(|profile| profile.shape(Feature::HostInPlace).is_some())
    }

    /// The host that this client is told to connect to, by `cluster-preferred-endpoint-type`: empty for an
    /// unknown endpoint, which clients read as "where you are connected".
    pub fn preferred_host(&self, endpoint: &Endpoint) -> String {
        match self.config.word(Directive::ClusterPreferredEndpointType) {
            "hostname" if self.tells_host_in_place() => endpoint.ip.clone(),
            "hostname" if endpoint.hostname.is_empty() => "?".to_owned(),
            "hostname" => endpoint.hostname.clone(),
            "unknown-endpoint" => String::new(),
            _ => endpoint.ip.clone(),
        }
    }

    /// `host:port` of the primary for MOVED.
    pub fn redirect_endpoint(&self, client: &Client) -> String {
        let endpoint = self.endpoint(client);
        format!("{}:{}", self.preferred_host(&endpoint), endpoint.port)
    }
}
