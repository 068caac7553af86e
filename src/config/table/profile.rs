//! Profiles of cloud services, the report of what would not run there, and faults that are rehearsed.

use super::{BOOL, Directive as D, Kind, Spec, TEXT, spec};

/// Rows of the table: name, values, default, text and effect of each directive.
pub(super) const SPECS: &[Spec] = &[
    spec(
        D::Profile,
        "profile",
        TEXT,
        "",
        "Behave as the endpoint of a cloud service does: elasticache-serverless, elasticache, memorystore, azure-enterprise, or the file of a profile.",
    )
    .active()
    .immutable(),
    spec(
        D::ProfileMode,
        "profile-mode",
        Kind::Enum(&["enforce", "warn"]),
        "enforce",
        "Whether what the service refuses is refused, or only recorded.",
    )
    .active()
    .immutable(),
    spec(
        D::CompatReport,
        "compat-report",
        TEXT,
        "",
        "File for the report at the end of what the profile refuses, a relative path from dir on: SARIF in .sarif, JUnit in .xml, else JSON.",
    )
    .active()
    .immutable(),
    spec(
        D::CompatFail,
        "compat-fail",
        BOOL,
        "no",
        "End with a failing exit status where the report has findings.",
    )
    .active()
    .immutable(),
    spec(
        D::Simulate,
        "simulate",
        TEXT,
        "",
        "Faults to rehearse from the start on, as of KVARTS SIMULATE, with ; between them; needs enable-debug-command.",
    )
    .active()
    .immutable(),
];
