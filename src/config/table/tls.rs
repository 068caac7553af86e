//! Encrypted connections.

use super::{BOOL, COUNT, Directive as D, Kind, PORT, Spec, TEXT, spec};

/// Rows of the table: name, values, default, text and effect of each directive.
pub(super) const SPECS: &[Spec] = &[
    spec(D::TlsPort, "tls-port", PORT, "0", "A further port that takes TLS clients only; 0 is none.")
        .active(),
    spec(
        D::TlsOnly,
        "tls-only",
        BOOL,
        "no",
        "Refuse clients without TLS on every port; metrics-port has metrics-tls for it.",
    )
    .active(),
    spec(
        D::TlsAutoNames,
        "tls-auto-names",
        Kind::Words,
        "",
        "Further host names and addresses of the server, put into a certificate it makes itself; cluster clients that \
         call one of these names over TLS are told it rather than the announced one.",
    )
    .active()
    .multi(),
    spec(
        D::TlsCertFile,
        "tls-cert-file",
        TEXT,
        "",
        "Certificate chain of the server, PEM; empty lets the server make its own.",
    )
    .active().rereads(),
    spec(D::TlsKeyFile, "tls-key-file", TEXT, "", "Private key of the server certificate, PEM.").active().rereads(),
    spec(D::TlsKeyFilePass, "tls-key-file-pass", TEXT, "", "Pass phrase of the private key.")
        .active()
        .secret(),
    spec(
        D::TlsClientCertFile,
        "tls-client-cert-file",
        TEXT,
        "",
        "Certificate for connections the server opens itself, PEM.",
    )
    .active().rereads(),
    spec(
        D::TlsClientKeyFile,
        "tls-client-key-file",
        TEXT,
        "",
        "Private key for connections the server opens itself, PEM.",
    )
    .active().rereads(),
    spec(D::TlsClientKeyFilePass, "tls-client-key-file-pass", TEXT, "", "Pass phrase of that key.").secret(),
    spec(
        D::TlsDhParamsFile,
        "tls-dh-params-file",
        TEXT,
        "",
        "Diffie-Hellman parameters, PEM, which no supported cipher needs; the file must hold some.",
    )
    .active().rereads(),
    spec(D::TlsCaCertFile, "tls-ca-cert-file", TEXT, "", "Certificates that vouch for clients, PEM.")
        .active().rereads(),
    spec(D::TlsCaCertDir, "tls-ca-cert-dir", TEXT, "", "Folder of such certificates.").active().rereads(),
    spec(
        D::TlsAuthClients,
        "tls-auth-clients",
        Kind::Enum(&["no", "yes", "optional"]),
        "yes",
        "Whether a client must, may or need not show a certificate.",
    )
    .active(),
    spec(
        D::TlsAuthClientsUser,
        "tls-auth-clients-user",
        Kind::Enum(&["CN", "URI", "off"]),
        "off",
        "Field of the client certificate that names the user to log in as.",
    )
    .active(),
    spec(
        D::TlsProtocols,
        "tls-protocols",
        TEXT,
        "",
        "TLS versions to allow, of TLSv1.2 and TLSv1.3; empty allows both.",
    )
    .active(),
    spec(
        D::TlsCiphers,
        "tls-ciphers",
        TEXT,
        "",
        "Cipher suites for TLS 1.2, as OpenSSL names them; empty allows all that are supported.",
    )
    .active(),
    spec(
        D::TlsCiphersuites,
        "tls-ciphersuites",
        TEXT,
        "",
        "Cipher suites for TLS 1.3; empty allows all that are supported.",
    )
    .active(),
    spec(
        D::TlsPreferServerCiphers,
        "tls-prefer-server-ciphers",
        BOOL,
        "no",
        "Choose the cipher by the server's order.",
    )
    .active(),
    spec(D::TlsSessionCaching, "tls-session-caching", BOOL, "yes", "Let clients resume TLS sessions.")
        .active(),
    spec(
        D::TlsSessionCacheSize,
        "tls-session-cache-size",
        COUNT,
        "20480",
        "TLS sessions kept for resumption.",
    )
    .active(),
    spec(
        D::TlsSessionCacheTimeout,
        "tls-session-cache-timeout",
        COUNT,
        "300",
        "Seconds a TLS session may be resumed.",
    ),
    spec(
        D::TlsAutoReloadInterval,
        "tls-auto-reload-interval",
        COUNT,
        "0",
        "Seconds between looks for changed certificate files; 0 looks once a second.",
    )
    .active(),
    spec(D::TlsReplication, "tls-replication", BOOL, "no", "Use TLS for the link to a primary.").active(),
    spec(D::TlsCluster, "tls-cluster", BOOL, "no", "Use TLS on the cluster bus."),
];
