//! The figures as an SVG: throughput over callers, one panel per operation, one line per subject.

use std::fmt::Write as _;

use crate::operation::{Operation, SubjectName};
use crate::report::{Key, Report, Sample};

const COLUMNS: usize = 3;
const PANEL: (f64, f64) = (300.0, 210.0);
/// The margins of a panel: left, top, right and bottom.
const MARGIN: (f64, f64, f64, f64) = (52.0, 34.0, 14.0, 34.0);
const HEAD: f64 = 64.0;

/// Colours with contrast to white and to black, and dashes that work without colours.
fn style(subject: SubjectName) -> (&'static str, &'static str) {
    match subject {
        SubjectName::Storage => ("#d9480f", ""),
        SubjectName::Pool => ("#1c7ed6", "6 3"),
        SubjectName::Pgbench => ("#868e96", "2 3"),
    }
}

/// `None` if there is nothing to draw.
pub(crate) fn svg(report: &Report, rows: u64, server: &str) -> Option<String> {
    let medians: Vec<(Key, Sample)> =
        report.medians().into_iter().filter(|(key, _)| key.rows == rows).collect();
    let mut operations: Vec<Operation> = medians.iter().map(|(key, _)| key.operation).collect();
    operations.dedup();
    // A part of the mix has no throughput of its own.
    operations.retain(|operation| Operation::ALL.contains(operation));
    if operations.is_empty() {
        return None;
    }
    let columns = operations.len().min(COLUMNS);
    let width = PANEL.0 * columns as f64;
    let height = HEAD + PANEL.1 * operations.len().div_ceil(columns) as f64;

    let mut svg = String::new();
    // Writing to a string cannot fail.
    let _ = write!(
        svg,
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" font-family="system-ui, sans-serif" font-size="11">
<title>Calls a second over callers, {rows} credentials</title>
<style>
text {{ fill: #212529; }} .grid {{ stroke: #dee2e6; }} .paper {{ fill: #ffffff; }}
@media (prefers-color-scheme: dark) {{
text {{ fill: #e9ecef; }} .grid {{ stroke: #373e47; }} .paper {{ fill: #161b22; }}
}}
</style>
<rect class="paper" width="{width}" height="{height}"/>
<text x="12" y="20" font-size="14" font-weight="600">Calls a second over callers</text>
<text x="12" y="36">{rows} credentials, {}</text>
"#,
        escape(server)
    );
    let subjects = SubjectName::ALL.into_iter();
    for (i, subject) in subjects.enumerate() {
        let (colour, dash) = style(subject);
        let x = 12.0 + 110.0 * i as f64;
        let _ = writeln!(
            svg,
            r#"<line x1="{x}" y1="52" x2="{}" y2="52" stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}"/><text x="{}" y="56">{subject}</text>"#,
            x + 22.0,
            x + 28.0
        );
    }
    for (i, operation) in operations.into_iter().enumerate() {
        let (column, row) = (i % columns, i / columns);
        let at = (PANEL.0 * column as f64, HEAD + PANEL.1 * row as f64);
        panel(&mut svg, at, operation, &medians);
    }
    svg.push_str("</svg>\n");
    Some(svg)
}

fn panel(svg: &mut String, at: (f64, f64), operation: Operation, medians: &[(Key, Sample)]) {
    let here: Vec<&(Key, Sample)> =
        medians.iter().filter(|(key, _)| key.operation == operation).collect();
    let mut tasks: Vec<usize> = here.iter().map(|(key, _)| key.tasks).collect();
    tasks.sort_unstable();
    tasks.dedup();
    let highest = here.iter().map(|(_, sample)| sample.ops_per_s).fold(1.0, f64::max);
    let (step, top) = scale(highest);

    let (left, right) = (at.0 + MARGIN.0, at.0 + PANEL.0 - MARGIN.2);
    let (upper, lower) = (at.1 + MARGIN.1, at.1 + PANEL.1 - MARGIN.3);
    let log = |tasks: usize| (tasks as f64).log2();
    let (first, last) = (log(tasks[0]), log(tasks[tasks.len() - 1]));
    let x = |tasks: usize| {
        let share = if last > first { (log(tasks) - first) / (last - first) } else { 0.5 };
        left + share * (right - left)
    };
    let y = |rate: f64| lower - rate / top * (lower - upper);

    let _ = writeln!(
        svg,
        r#"<text x="{left}" y="{}" font-weight="600">{operation}</text>"#,
        at.1 + MARGIN.1 - 12.0
    );
    let mut rate = 0.0;
    while rate <= top * 1.001 {
        let _ = writeln!(
            svg,
            r#"<line class="grid" x1="{left}" y1="{0:.1}" x2="{right}" y2="{0:.1}"/><text x="{1}" y="{2:.1}" text-anchor="end">{3}</text>"#,
            y(rate),
            left - 6.0,
            y(rate) + 4.0,
            short(rate)
        );
        rate += step;
    }
    for &count in &tasks {
        let _ = writeln!(
            svg,
            r#"<text x="{:.1}" y="{}" text-anchor="middle">{count}</text>"#,
            x(count),
            lower + 16.0
        );
    }
    for subject in SubjectName::ALL {
        let (colour, dash) = style(subject);
        let points: Vec<(f64, f64)> = here
            .iter()
            .filter(|(key, _)| key.subject == subject)
            .map(|(key, sample)| (x(key.tasks), y(sample.ops_per_s)))
            .collect();
        let line: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let _ = writeln!(
            svg,
            r#"<polyline points="{}" fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}"/>"#,
            line.join(" ")
        );
        for (x, y) in points {
            let _ = writeln!(svg, r#"<circle cx="{x:.1}" cy="{y:.1}" r="3" fill="{colour}"/>"#);
        }
    }
}

/// The scale of an axis: a step of 1, 2 or 5 times a power of ten, and its first multiple above the
/// values.
fn scale(highest: f64) -> (f64, f64) {
    let power = 10_f64.powf((highest / 5.0).log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power);
    let step = step.into_iter().find(|step| highest / step <= 5.0).unwrap_or(power * 10.0);
    (step, (highest / step).ceil() * step)
}

fn short(rate: f64) -> String {
    if rate >= 1000.0 {
        let thousands = format!("{:.1}", rate / 1000.0);
        format!("{}k", thousands.trim_end_matches(".0"))
    } else {
        format!("{rate:.0}")
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
