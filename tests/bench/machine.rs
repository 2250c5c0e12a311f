//! Whether the machine is quiet enough for figures to mean something.

/// Says so where others are busy on it.
pub(crate) fn warn_if_busy() {
    let Ok(load) = std::fs::read_to_string("/proc/loadavg") else { return };
    let Some(load) = load.split(' ').next().and_then(|load| load.parse::<f64>().ok()) else { return };
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    #[expect(clippy::cast_precision_loss, reason = "a handful of processors")]
    if load > 0.3 * processors as f64 {
        eprintln!("note: the load of this machine is {load} on {processors} processors; the figures will be rough");
    }
}
