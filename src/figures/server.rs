//! Figures of the sections Server, TLS, CPU, Cluster and Scripting Engines.

use super::{
    Figure, Kind, Part, Row, Sight, Unit, Value, constant, counter, family, gauge, part, text, zero,
};
use crate::config::Directive;
use crate::shared::stats::Counter;

/// What the server is.
pub(super) const FIGURES: &[Figure] = &[
    constant(
        "redis_version",
        Unit::None,
        "Version of Redis whose commands and replies clients may expect; kvarts_version is the server's own.",
        |_| crate::REDIS_VERSION.into(),
    ),
    text("server_name", "Name of the program.", |_| "kvarts".into()),
    text("kvarts_version", "Version of the program.", |_| crate::VERSION.into()),
    constant("redis_git_sha1", Unit::None, "Revision of the source; not told.", |_| "00000000".into()),
    zero("redis_git_dirty", Unit::None, "Whether the source differed from that revision; not told."),
    constant("redis_build_id", Unit::None, "Mark of the build; not told.", |_| "0000000000000000".into()),
    text(
        "server_mode",
        "`cluster` with cluster-enabled, else `standalone`: Valkey's name of the field.",
        mode,
    ),
    text("redis_mode", "The same as server_mode, under Redis's name.", mode),
    text("os", "Operating system, its release and the processor's architecture.", |_| {
        format!("{} {}", os_name(), std::env::consts::ARCH).into()
    }),
    constant("arch_bits", Unit::None, "Bits of an address.", |_| usize::BITS.into()),
    constant("monotonic_clock", Unit::None, "Clock that durations are measured with.", |_| {
        "POSIX clock_gettime".into()
    }),
    constant("multiplexing_api", Unit::None, "System interface that tells which sockets are ready.", |_| {
        "epoll".into()
    }),
    gauge("process_id", Unit::None, "Number of the process.", |_| std::process::id().into())
        .export("redis_process_id"),
    constant("process_supervised", Unit::None, "Supervisor that the process reports to; none.", |_| {
        "no".into()
    }),
    text("run_id", "40 digits that tell this run of the server from all others.", |at| {
        at.server.identity.run_id.clone().into()
    }),
    gauge("tcp_port", Unit::None, "Port that the client asks through.", |at| at.port().into()),
    gauge("server_time_usec", Unit::Microseconds, "The server's clock: time since 1970.", |at| {
        at.server.clock.now_us().into()
    }),
    counter("uptime_in_seconds", Unit::Seconds, "Time since the start.", |at| at.uptime_s().into())
        .export("redis_uptime_in_seconds")
        .exported_as(Kind::Gauge),
    counter("uptime_in_days", Unit::None, "Time since the start, in whole days.", |at| {
        (at.uptime_s() / 86_400).into()
    }),
    gauge("hz", Unit::PerSecond, "Value of the directive hz.", |at| at.int(Directive::Hz).into())
        .export("redis_hz"),
    gauge("configured_hz", Unit::PerSecond, "Value of the directive hz, under a second name.", |at| {
        at.int(Directive::Hz).into()
    })
    .export("redis_configured_hz"),
    gauge("clients_hz", Unit::PerSecond, "Value of the directive hz, under a third name.", |at| {
        at.int(Directive::Hz).into()
    }),
    gauge("lru_clock", Unit::Seconds, "The low 24 bits of the time in seconds since 1970.", |at| {
        ((at.now_ms / 1000) & 0xff_ffff).into()
    }),
    text("executable", "Path of the program.", |_| {
        std::env::current_exe().map_or_else(|_| String::new(), |path| path.display().to_string()).into()
    }),
    text("config_file", "Path of the configuration file; empty without one.", |at| {
        at.server.config.file().map_or_else(String::new, |path| path.display().to_string()).into()
    }),
    gauge("io_threads_active", Unit::None, "Whether more than one thread runs commands.", |at| {
        (at.server.identity.workers > 1).into()
    })
    .export("redis_io_threads_active"),
    gauge("worker_threads", Unit::None, "Threads that run commands.", |at| at.server.identity.workers.into())
        .export("kvarts_worker_threads"),
    gauge(
        "shutdown_in_milliseconds",
        Unit::Milliseconds,
        "What is left of the time for which the end waits for replicas; only while the server ends.",
        shutdown_ms,
    ),
    text("availability_zone", "Value of the directive availability-zone.", |at| {
        at.server.config.text(Directive::AvailabilityZone).to_string().into()
    }),
    text("simulated_faults", "Faults that KVARTS SIMULATE rehearses; only while there are some.", |at| {
        match at.server.simulation.faults(at.now_ms) {
            faults if faults.is_empty() => Value::None,
            faults => faults.join("; ").into(),
        }
    }),
    family("listener", "The ports listened on, numbered from 0.", LISTENER, listeners),
];

const LISTENER: &[Part] = &[
    part("name", Kind::Text, Unit::None, "`tcp`, `tls` or `readonly`."),
    part("bind", Kind::Text, Unit::None, "An address; repeated for several."),
    part("port", Kind::Gauge, Unit::None, "Number of the port."),
];

/// Certificates, which are not looked into.
pub(super) const TLS: &[Figure] = &[
    constant(
        "tls_server_cert_serial",
        Unit::None,
        "Serial number of the server's certificate; not told.",
        none,
    ),
    zero(
        "tls_server_cert_expires_in_seconds",
        Unit::Seconds,
        "Time to the end of the certificate; not told.",
    ),
    constant(
        "tls_client_cert_serial",
        Unit::None,
        "Serial number of the client certificate; not told.",
        none,
    ),
    zero(
        "tls_client_cert_expires_in_seconds",
        Unit::Seconds,
        "Time to the end of the certificate; not told.",
    ),
    constant(
        "tls_ca_cert_serial",
        Unit::None,
        "Serial number of the authority's certificate; not told.",
        none,
    ),
    zero("tls_ca_cert_expires_in_seconds", Unit::Seconds, "Time to the end of the certificate; not told."),
];

/// The processor.
pub(super) const CPU: &[Figure] = &[
    counter("used_cpu_sys", Unit::Seconds, "Processor time within the system, of all threads.", |at| {
        Value::Fixed(at.processor_s()[0].1, 6)
    })
    .export("redis_cpu_sys_seconds_total"),
    counter("used_cpu_user", Unit::Seconds, "Processor time outside the system, of all threads.", |at| {
        Value::Fixed(at.processor_s()[0].0, 6)
    })
    .export("redis_cpu_user_seconds_total"),
    constant(
        "used_cpu_sys_children",
        Unit::Seconds,
        "Processor time within the system of child processes; there are none.",
        no_time,
    )
    .export("redis_cpu_sys_children_seconds_total")
    .exported_as(Kind::Counter),
    constant(
        "used_cpu_user_children",
        Unit::Seconds,
        "Processor time of child processes; there are none.",
        no_time,
    )
    .export("redis_cpu_user_children_seconds_total")
    .exported_as(Kind::Counter),
    counter(
        "used_cpu_sys_main_thread",
        Unit::Seconds,
        "Processor time within the system of the main thread, which runs no commands.",
        |at| Value::Fixed(at.processor_s()[1].1, 6),
    )
    .export("redis_cpu_sys_main_thread_seconds_total"),
    counter(
        "used_cpu_user_main_thread",
        Unit::Seconds,
        "Processor time outside the system of the main thread, which runs no commands.",
        |at| Value::Fixed(at.processor_s()[1].0, 6),
    )
    .export("redis_cpu_user_main_thread_seconds_total"),
    // Commands run on all workers: this is their time together.
    counter(
        "used_active_time_main_thread",
        Unit::Seconds,
        "Time that commands took, on all workers.",
        |at| Value::Fixed(at.sum(Counter::ActiveNs) as f64 / 1e9, 6),
    )
    .export("kvarts_commands_active_seconds_total"),
];

/// Whether there is a cluster.
pub(super) const CLUSTER: &[Figure] = &[gauge(
    "cluster_enabled",
    Unit::None,
    "Whether the server presents itself as a cluster (directive cluster-enabled).",
    |at| at.server.cluster.is_enabled().into(),
)
.export("redis_cluster_enabled")];

/// What runs scripts.
pub(super) const ENGINES: &[Figure] = &[
    constant("engines_count", Unit::None, "Scripting engines: there is Lua.", |_| Value::Unsigned(1)),
    gauge("engines_total_used_memory", Unit::Bytes, "Memory of all Lua machines.", |at| {
        at.machines().total().into()
    }),
    zero("engines_total_memory_overhead", Unit::Bytes, "Memory of the engines beside that; none."),
    family("engine_", "An engine, numbered from 0.", ENGINE, engines),
];

const ENGINE: &[Part] = &[
    part("name", Kind::Text, Unit::None, "Name of the engine."),
    part("module", Kind::Text, Unit::None, "Where it comes from."),
    part("abi_version", Kind::Text, Unit::None, "Version of the interface that Valkey's engines have."),
    part("used_memory", Kind::Gauge, Unit::Bytes, "Memory of its machines."),
    part("memory_overhead", Kind::Constant, Unit::Bytes, "Memory beside its machines; none."),
];

fn none(_: &Sight<'_>) -> Value {
    "none".into()
}

fn no_time(_: &Sight<'_>) -> Value {
    Value::Fixed(0.0, 6)
}

fn mode(at: &Sight<'_>) -> Value {
    if at.server.cluster.is_enabled() { "cluster".into() } else { "standalone".into() }
}

pub(super) fn os_name() -> String {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("Linux {}", release.trim())
}

fn shutdown_ms(at: &Sight<'_>) -> Value {
    match at.server.ending.remaining() {
        Some(remaining) => (remaining.as_millis() as u64).into(),
        // There is no limit to the time that the last snapshot may take; the end follows at once.
        None if at.saves().is_last => Value::Unsigned(0),
        None => Value::None,
    }
}

fn listeners(at: &Sight<'_>) -> Vec<Row> {
    let ports = *at.server.identity.ports.read();
    let bind = at.server.config.text(Directive::Bind);
    let open = [("tcp", ports.main), ("tls", ports.tls), ("readonly", ports.read_only)];
    let open = open.into_iter().filter(|(_, port)| *port != 0);
    let row = |(index, (name, port)): (usize, (&'static str, u16))| {
        let mut parts = vec![("name", name.into())];
        parts.extend(bind.split_ascii_whitespace().map(|word| ("bind", word.to_owned().into())));
        parts.push(("port", port.into()));
        Row::new(index.to_string(), "listener", parts)
    };
    open.enumerate().map(row).collect()
}

fn engines(at: &Sight<'_>) -> Vec<Row> {
    let parts = vec![
        ("name", "LUA".into()),
        ("module", "built-in".into()),
        ("abi_version", "4".into()),
        ("used_memory", at.machines().total().into()),
        ("memory_overhead", Value::Unsigned(0)),
    ];
    vec![Row::new("0".into(), "engine", parts)]
}
