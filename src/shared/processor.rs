//! The processor's time that threads have taken.

/// Reads user and system seconds from a stat file of /proc, whose ticks are hundredths of a second on every
/// Linux.
pub fn processor_seconds(path: &str) -> (f64, f64) {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    // The name before may hold spaces.
    let behind_name = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    let mut fields = behind_name.split_ascii_whitespace().skip(11);
    let mut next = || fields.next().and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0) / 100.0;
    (next(), next())
}

/// Milliseconds that the process has run, its own code and the system's.
pub fn processor_ms() -> (u64, u64) {
    let (user_s, system_s) = processor_seconds("/proc/self/stat");
    ((user_s * 1000.0) as u64, (system_s * 1000.0) as u64)
}
