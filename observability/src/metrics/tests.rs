//! Tests of the recorder.

use metrics::with_local_recorder;

use super::*;

fn small() -> Recorder {
    Recorder::new(&RecorderConfig { max_series: 3, max_metrics: 4, ..RecorderConfig::default() })
}

fn find(handle: &MetricsHandle, name: &str, label: (&str, &str)) -> Option<SampleValue> {
    let label = (label.0.to_owned(), label.1.to_owned());
    let mut samples = handle.snapshot().into_iter();
    let found = samples.find(|sample| sample.name == name && sample.labels.contains(&label));
    found.map(|sample| sample.value)
}

#[test]
fn text_has_help_type_and_escapes() {
    let recorder =
        Recorder::new(&RecorderConfig { service: Some("test".to_owned()), ..RecorderConfig::default() });
    with_local_recorder(&recorder, || {
        metrics::describe_counter!("jobs.done", "Jobs \\ done\nand over.");
        metrics::counter!("jobs.done", "kind" => "a\"b\\c\nd").increment(2);
        metrics::describe_histogram!("wait.time", Unit::Seconds, "Waiting.");
        metrics::histogram!("wait.time", "service" => "own").record(0.03);
        metrics::gauge!("9lives").set(-1.5);
    });
    let text = recorder.handle().render();
    for line in [
        "# HELP jobs_done_total Jobs \\\\ done\\nand over.",
        "# TYPE jobs_done_total counter",
        "jobs_done_total{kind=\"a\\\"b\\\\c\\nd\",service=\"test\"} 2",
        "# TYPE wait_time_seconds histogram",
        "wait_time_seconds_bucket{service=\"own\",le=\"0.025\"} 0",
        "wait_time_seconds_bucket{service=\"own\",le=\"0.05\"} 1",
        "wait_time_seconds_bucket{service=\"own\",le=\"+Inf\"} 1",
        "wait_time_seconds_sum{service=\"own\"} 0.03",
        "wait_time_seconds_count{service=\"own\"} 1",
        "_9lives{service=\"test\"} -1.5",
        "# HELP _9lives  9lives.",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    // Every metric has its two lines, and no series stands without.
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap();
        let known = ["", "_bucket", "_sum", "_count"].iter().any(|suffix| {
            name.strip_suffix(suffix).is_some_and(|base| text.contains(&format!("# TYPE {base} ")))
        });
        assert!(known, "{line}");
    }
}

/// A caller puts ids into a label: the metric stays small, its total stays right, and the excess is counted.
#[test]
fn series_are_bounded_and_the_excess_is_counted() {
    let recorder = small();
    with_local_recorder(&recorder, || {
        for user in 0..1_000 {
            metrics::counter!("logins", "user" => user.to_string()).increment(1);
            metrics::histogram!("sizes", "user" => user.to_string()).record(1.0);
        }
    });
    let handle = recorder.handle();
    let logins: Vec<_> = handle.snapshot();
    let series = logins.iter().filter(|sample| sample.name == "logins_total");
    assert_eq!(series.count(), 4);
    assert_eq!(find(&handle, "logins_total", ("overflow", "true")), Some(SampleValue::Counter(997.0)));
    assert_eq!(
        find(&handle, "metrics_series_overflow_total", ("metric", "logins")),
        Some(SampleValue::Counter(997.0))
    );
    match find(&handle, "sizes", ("overflow", "true")) {
        Some(SampleValue::Histogram { count, .. }) => assert_eq!(count, 997),
        other => panic!("{other:?}"),
    }
}

#[test]
fn metrics_are_bounded_and_kinds_do_not_mix() {
    let recorder = small();
    with_local_recorder(&recorder, || {
        metrics::counter!("first").increment(1);
        metrics::gauge!("first").set(9.0);
        for n in 0..10 {
            metrics::counter!(format!("metric_{n}")).increment(1);
        }
    });
    let text = recorder.handle().render();
    assert!(text.contains("first_total 1\n"), "{text}");
    assert!(!text.contains("first 9"), "{text}");
    assert!(text.contains("metric_2_total 1\n"), "{text}");
    assert!(!text.contains("metric_3"), "{text}");
    assert!(text.contains("metrics_refused_total 8\n"), "{text}");
}

#[test]
fn one_name_in_two_spellings_is_one_metric() {
    let recorder = small();
    with_local_recorder(&recorder, || {
        metrics::counter!("a.b", "x.y" => "1").increment(1);
        metrics::counter!("a_b_total", "x_y" => "1").increment(1);
    });
    let handle = recorder.handle();
    assert_eq!(find(&handle, "a_b_total", ("x_y", "1")), Some(SampleValue::Counter(2.0)));
}

#[test]
fn histograms_ignore_what_is_no_number_and_take_their_buckets() {
    let recorder = Recorder::new(&RecorderConfig {
        buckets: vec![("steps".to_owned(), vec![3.0, 1.0, f64::INFINITY, 3.0])],
        ..RecorderConfig::default()
    });
    with_local_recorder(&recorder, || {
        metrics::describe_histogram!("size", Unit::Bytes, "Sizes.");
        metrics::histogram!("size").record(5_000.0);
        for value in [f64::NAN, f64::INFINITY, 0.5, 1.0, 2.0, 4.0] {
            metrics::histogram!("steps", "of" => "x").record(value);
        }
    });
    let handle = recorder.handle();
    assert_eq!(
        find(&handle, "steps", ("of", "x")),
        Some(SampleValue::Histogram { count: 4, sum: 7.5, buckets: vec![(1.0, 2), (3.0, 3)] })
    );
    assert!(handle.render().contains("size_bytes_bucket{le=\"16384\"} 1\n"));
}

#[test]
fn recorders_of_the_process_are_one() {
    let first = Recorder::global(&RecorderConfig::default()).unwrap();
    metrics::counter!("shared").increment(1);
    let second = Recorder::global(&RecorderConfig::default()).unwrap();
    assert!(first.render().contains("shared_total 1\n"));
    assert!(second.render().contains("shared_total 1\n"));
    let other = Recorder::new(&RecorderConfig::default()).install();
    assert_eq!(other.unwrap_err().kind(), ErrorKind::RecorderTaken);
}

#[cfg(target_os = "linux")]
#[test]
fn the_process_is_measured() {
    let samples = small().handle().snapshot();
    let value = |name: &str| {
        let sample = samples.iter().find(|sample| sample.name == name);
        match sample.map(|sample| &sample.value) {
            Some(SampleValue::Counter(value) | SampleValue::Gauge(value)) => *value,
            other => panic!("{name}: {other:?}"),
        }
    };
    assert!(value("process_resident_memory_bytes") > 1e6);
    assert!(value("process_open_fds") >= 3.0);
    assert!(value("process_threads") >= 1.0);
    assert!(value("process_cpu_seconds_total") >= 0.0);
    assert!(value("process_uptime_seconds") >= 0.0);
}
