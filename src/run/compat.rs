//! The report at the end of what a profile refuses (`compat-report`, `compat-fail`).

use super::{Handle, StartError};
use crate::config::{Config, Directive};
use crate::engine::Server;
use crate::engine::profile::Form;

/// Looks at the start whether the report can be written at the end, when it would be too late to say so, and takes away
/// one that another run has left: where there is none, the run did not come to its end.
pub(super) fn prepare(config: &Config) -> Result<(), StartError> {
    let path = config.path(Directive::CompatReport);
    if (path.is_some() || config.flag(Directive::CompatFail)) && config.profile().is_none() {
        return Err(StartError::Compat("compat-report and compat-fail: there is no profile".to_owned()));
    }
    let Some(path) = path else { return Ok(()) };
    let failed =
        |error| StartError::Compat(format!("compat-report: cannot write '{}': {error}", path.display()));
    std::fs::File::create(&path).map_err(failed)?;
    match std::fs::symlink_metadata(&path) {
        // What is no file of its own, as a device or a link, stays where somebody put it.
        Ok(meta) if !meta.is_file() => Ok(()),
        _ => std::fs::remove_file(&path).map_err(failed),
    }
}

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
