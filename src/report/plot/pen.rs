//! Shapes and text in CSS pixels, through `plotters`, and what is done to its SVG afterwards.

use std::fmt::Write;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// Drawing units for a CSS pixel.
const SCALE: f64 = 4.0;
/// `plotters` writes font sizes divided by this.
const FONT: f64 = 1.24;
/// Font size, CSS pixels.
pub(super) const TEXT: f64 = 12.0;

/// What something is painted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Paint {
    /// Text.
    Ink,
    /// Axes and their text.
    Muted,
    /// Grid.
    Faint,
    /// A series, by number: it can be hidden.
    Series(u8),
}

/// Where text lies beside its point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// A code number that no other colour has.
fn code(paint: Paint) -> (u8, u8, u8) {
    match paint {
        Paint::Ink => (1, 2, 250),
        Paint::Muted => (1, 2, 251),
        Paint::Faint => (1, 2, 252),
        Paint::Series(n) => (1, 2, n),
    }
}

/// Draws.
pub(super) struct Pen<'a> {
    backend: SVGBackend<'a>,
}

impl Pen<'_> {
    /// A line through points, `width` pixels wide.
    pub(super) fn line(&mut self, points: &[(f64, f64)], paint: Paint, width: f64) {
        let style = style(paint, 1.0).stroke_width((width * SCALE) as u32);
        // Drawing into a string cannot fail; here and below.
        let _ = self.backend.draw_path(points.iter().map(|at| place(*at)), &style);
    }

    /// A filled rectangle between two corners.
    pub(super) fn rectangle(&mut self, a: (f64, f64), b: (f64, f64), paint: Paint, opacity: f64) {
        let (left, right) = (a.0.min(b.0), a.0.max(b.0));
        let (top, bottom) = (a.1.min(b.1), a.1.max(b.1));
        let _ = self.backend.draw_rect(
            place((left, top)),
            place((right, bottom)),
            &style(paint, opacity).filled(),
            true,
        );
    }

    /// A filled circle.
    pub(super) fn circle(&mut self, at: (f64, f64), radius: f64, paint: Paint, opacity: f64) {
        let style = style(paint, opacity).filled();
        let _ = self.backend.draw_circle(place(at), (radius * SCALE) as u32, &style, true);
    }

    /// Text, its middle at the height of the point.
    pub(super) fn text(&mut self, at: (f64, f64), text: &str, anchor: Anchor, paint: Paint) {
        let (r, g, b) = code(paint);
        let color = RGBColor(r, g, b);
        let horizontal = match anchor {
            Anchor::Start => HPos::Left,
            Anchor::Middle => HPos::Center,
            Anchor::End => HPos::Right,
        };
        let style = TextStyle::from(("sans-serif", TEXT * SCALE * FONT).into_font())
            .color(&color)
            .pos(Pos::new(horizontal, VPos::Center));
        let _ = self.backend.draw_text(text, &style, place(at));
    }
}

fn style(paint: Paint, opacity: f64) -> ShapeStyle {
    let (r, g, b) = code(paint);
    RGBColor(r, g, b).mix(opacity).into()
}

fn place((x, y): (f64, f64)) -> (i32, i32) {
    // Far outside every picture; differences of coordinates still fit.
    let unit = |at: f64| (at * SCALE).round().clamp(-1e6, 1e6) as i32;
    (unit(x), unit(y))
}

/// Pixels that a text takes, roughly.
pub(super) fn width_of(text: &str) -> f64 {
    0.56 * TEXT * text.chars().count() as f64
}

/// A text cut to so many characters.
pub(super) fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// Draws a picture of so many pixels. `title` and `description` are for those who do not see it.
pub(super) fn picture(
    width: f64,
    height: f64,
    title: &str,
    description: &str,
    draw: impl FnOnce(&mut Pen<'_>),
) -> String {
    let mut text = String::new();
    let size = ((width * SCALE) as u32, (height * SCALE) as u32);
    {
        let mut pen = Pen { backend: SVGBackend::with_string(&mut text, size) };
        draw(&mut pen);
        let _ = pen.backend.present();
    }
    finished(&text, size, title, description)
}

/// The drawing without what the style sheet says, its colours as classes, each run of one series in a group.
fn finished(svg: &str, (width, height): (u32, u32), title: &str, description: &str) -> String {
    let mut out = format!(
        "<svg role=\"img\" viewBox=\"0 0 {width} {height}\"><title>{}</title><desc>{}</desc>\n",
        super::super::html::escaped(title),
        super::super::html::escaped(description)
    );
    let body = svg.split_once('>').map_or("", |(_, rest)| rest).trim_end();
    let body = body.strip_suffix("</svg>").unwrap_or(body);
    let mut open: Option<u8> = None;
    for element in elements(body) {
        let (element, series) = painted(element);
        if open != series {
            if open.is_some() {
                out.push_str("</g>\n");
            }
            if let Some(series) = series {
                let _ = writeln!(out, "<g class=\"g{series}\">");
            }
            open = series;
        }
        out.push_str(&element);
        out.push('\n');
    }
    if open.is_some() {
        out.push_str("</g>\n");
    }
    out + "</svg>"
}

/// The elements of a drawing: none is inside another.
fn elements(body: &str) -> impl Iterator<Item = &str> {
    let mut rest = body.trim_start();
    std::iter::from_fn(move || {
        let end = if rest.starts_with("<text") {
            rest.find("</text>")? + "</text>".len()
        } else {
            rest.find("/>")? + 2
        };
        let element = &rest[..end];
        rest = rest[end..].trim_start();
        Some(element)
    })
}

/// An element with its colour as a class, and its series.
fn painted(element: &str) -> (String, Option<u8>) {
    let mut series = None;
    let mut text = element
        .replace(" opacity=\"1\"", "")
        .replace(" stroke=\"none\"", "")
        .replace(" font-family=\"sans-serif\"", "")
        .replace(" \"", "\"");
    for (attribute, class) in [("fill", 'f'), ("stroke", 'k')] {
        let start = format!(" {attribute}=\"#0102");
        let Some(at) = text.find(&start) else { continue };
        let from = at + start.len();
        let Some(number) = text.get(from..from + 2).and_then(|hex| u8::from_str_radix(hex, 16).ok()) else {
            continue;
        };
        let name = match number {
            250 => "ink".to_owned(),
            251 => "muted".to_owned(),
            252 => "faint".to_owned(),
            n => {
                series = Some(n);
                n.to_string()
            }
        };
        text.replace_range(at..from + 3, &format!(" class=\"{class}{name}\""));
    }
    (text.replace(">\n", ">").replace("\n</text>", "</text>"), series)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_has_classes_groups_and_escaped_text() {
        let svg = picture(100.0, 50.0, "a < b", "c & d", |pen| {
            pen.rectangle((1.0, 1.0), (5.0, 5.0), Paint::Series(3), 0.5);
            pen.line(&[(0.0, 0.0), (1.25, 1.0)], Paint::Series(3), 2.0);
            pen.circle((3.0, 3.0), 2.0, Paint::Series(1), 1.0);
            pen.text((9.0, 9.0), "x <script> & \"y\"", Anchor::End, Paint::Ink);
        });
        assert!(
            svg.starts_with("<svg role=\"img\" viewBox=\"0 0 400 200\"><title>a &lt; b</title>"),
            "{svg}"
        );
        assert_eq!(svg.matches("<g class=\"g3\">").count(), 1, "{svg}");
        assert_eq!(svg.matches("<g class=\"g1\">").count(), 1);
        assert_eq!(svg.matches("<g ").count(), svg.matches("</g>").count());
        assert!(
            svg.contains("class=\"f3\"") && svg.contains("class=\"k3\"") && svg.contains("class=\"fink\""),
            "{svg}"
        );
        assert!(!svg.contains('#') && !svg.contains("<script>") && !svg.contains("http"), "{svg}");
        assert!(
            svg.contains("font-size=\"48") || svg.contains("font-size=\"47.9"),
            "12 px at four times: {svg}"
        );
    }
}
