//! Curves as SVG, written by hand: a file that every browser shows needs no library and no fonts of this machine.

use std::fmt::Write;
use std::path::Path;

use anyhow::Result;

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 480.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 210.0;
const TOP: f64 = 50.0;
const BOTTOM: f64 = 60.0;
const COLOURS: [&str; 6] = ["#1b6ca8", "#d1495b", "#2e8b57", "#e29b2e", "#6a4c93", "#555555"];

/// How an axis is divided.
#[derive(Clone, Copy)]
pub(crate) enum Scale {
    /// From nought.
    Linear,
    /// By powers of ten.
    Logarithmic,
}

/// One curve.
pub(crate) struct Curve {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
    /// Floors are dashed.
    pub(crate) is_floor: bool,
}

/// Curves in one picture.
pub(crate) struct Plot {
    pub(crate) title: String,
    pub(crate) across: (&'static str, Scale),
    pub(crate) up: (&'static str, Scale),
    pub(crate) curves: Vec<Curve>,
}

impl Plot {
    /// Writes the picture.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        Ok(std::fs::write(path, self.svg()?)?)
    }

    fn svg(&self) -> Result<String> {
        let points = || self.curves.iter().flat_map(|curve| &curve.points);
        let across = Axis::over(self.across.1, points().map(|point| point.0), LEFT, WIDTH - RIGHT);
        let up = Axis::over(self.up.1, points().map(|point| point.1), HEIGHT - BOTTOM, TOP);
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        let mut svg = format!(
            r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">
<rect width="100%" height="100%" fill="white"/>
<text x="{LEFT}" y="28" font-size="16">{}</text>
<text x="{}" y="{}" text-anchor="middle">{}</text>
<text transform="translate(20 {}) rotate(-90)" text-anchor="middle">{}</text>
"##,
            self.title,
            f64::midpoint(LEFT, right),
            HEIGHT - 16.0,
            self.across.0,
            f64::midpoint(TOP, bottom),
            self.up.0,
        );
        for mark in across.marks() {
            let x = across.place(mark);
            writeln!(svg, r##"<path d="M{x:.1} {TOP}V{bottom}" stroke="#ddd"/>"##)?;
            writeln!(svg, r#"<text x="{x:.1}" y="{}" text-anchor="middle">{mark}</text>"#, bottom + 18.0)?;
        }
        for mark in up.marks() {
            let y = up.place(mark);
            writeln!(svg, r##"<path d="M{LEFT} {y:.1}H{right}" stroke="#ddd"/>"##)?;
            writeln!(svg, r#"<text x="{}" y="{:.1}" text-anchor="end">{mark}</text>"#, LEFT - 8.0, y + 4.0)?;
        }
        for (number, curve) in self.curves.iter().enumerate() {
            let colour = COLOURS[number % COLOURS.len()];
            let dashes = if curve.is_floor { r#" stroke-dasharray="6 4""# } else { "" };
            let places: Vec<_> = curve.points.iter().map(|&(x, y)| (across.place(x), up.place(y))).collect();
            let line: Vec<String> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
            let line = line.join(" ");
            writeln!(svg, r#"<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"{dashes}/>"#)?;
            for (x, y) in places {
                writeln!(svg, r#"<circle cx="{x:.1}" cy="{y:.1}" r="3" fill="{colour}"/>"#)?;
            }
            #[expect(clippy::cast_precision_loss, reason = "a handful of curves")]
            let y = TOP + 10.0 + 22.0 * number as f64;
            let (from, to) = (right + 14.0, right + 44.0);
            writeln!(svg, r#"<path d="M{from} {y}H{to}" stroke="{colour}" stroke-width="2"{dashes}/>"#)?;
            writeln!(svg, r#"<text x="{}" y="{}">{}</text>"#, to + 8.0, y + 4.0, curve.name)?;
        }
        svg.push_str("</svg>\n");
        Ok(svg)
    }
}

/// From values to places in the picture.
struct Axis {
    scale: Scale,
    least: f64,
    most: f64,
    begin: f64,
    end: f64,
}

impl Axis {
    fn over(scale: Scale, values: impl Iterator<Item = f64>, begin: f64, end: f64) -> Self {
        let (least, most) = values
            .filter(|value| value.is_finite())
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), value| (least.min(value), most.max(value)));
        let (least, most) = match scale {
            Scale::Linear => (0.0, if most > 0.0 { most * 1.05 } else { 1.0 }),
            Scale::Logarithmic if most > 0.0 => {
                (10f64.powf(least.max(1e-6).log10().floor()), 10f64.powf(most.log10().ceil()))
            }
            Scale::Logarithmic => (1.0, 10.0),
        };
        Self { scale, least, most: if most > least { most } else { least * 10.0 + 1.0 }, begin, end }
    }

    fn place(&self, value: f64) -> f64 {
        let share = match self.scale {
            Scale::Linear => (value - self.least) / (self.most - self.least),
            Scale::Logarithmic => {
                (value.max(self.least).log10() - self.least.log10()) / (self.most.log10() - self.least.log10())
            }
        };
        self.begin + share * (self.end - self.begin)
    }

    fn marks(&self) -> Vec<f64> {
        let step = match self.scale {
            Scale::Logarithmic => {
                let decades = std::iter::successors(Some(self.least), |mark| Some(mark * 10.0));
                // Powers of ten below one are not exact in binary.
                return decades.take_while(|mark| *mark <= self.most * 1.001).map(rounded).collect();
            }
            Scale::Linear => {
                let rough = self.most / 6.0;
                let magnitude = 10f64.powf(rough.log10().floor());
                [1.0, 2.0, 5.0, 10.0].map(|factor| factor * magnitude).into_iter().find(|step| *step >= rough)
            }
        };
        let Some(step) = step else { return Vec::new() };
        std::iter::successors(Some(0.0), |mark| Some(mark + step))
            .take_while(|mark| *mark <= self.most)
            .map(rounded)
            .collect()
    }
}

/// Without the last digits, which are an artefact.
fn rounded(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}
