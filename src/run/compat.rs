//! The report at the end of what a profile refuses (`compat-report`, `compat-fail`).

use super::Handle;
use crate::config::Directive;
use crate::engine::Server;
use crate::engine::profile::Form;

impl Handle {
    /// Writes the report, where one is asked for. Returns whether the end is to be a failure: because of findings,
    /// or as the report cannot be written.
    pub fn report_compat(server: &Server) -> bool {
        let Some(profile) = &server.profile else { return false };
        let mut fails = false;
        if let Some(path) = server.config.path(Directive::CompatReport) {
            let written = std::fs::write(&path, profile.report(Form::of(&path)));
            fails = written
                .inspect_err(
                    |error| tracing::error!(%error, path = %path.display(), "cannot write compat-report"),
                )
                .is_err();
        }
        let (findings, _) = profile.found();
        if !findings.is_empty() {
            tracing::warn!(
                findings = findings.len(),
                profile = profile.name,
                "some requests would not run there: KVARTS COMPAT and compat-report tell which"
            );
        }
        fails || server.config.flag(Directive::CompatFail) && !findings.is_empty()
    }
}
