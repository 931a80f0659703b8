//! Elements of a chart: texts, rectangles, lines.

use std::fmt::{Display, Write};

/// Space around the plot itself.
pub(crate) struct Margins {
    pub(crate) left: f64,
    pub(crate) right: f64,
    pub(crate) top: f64,
    pub(crate) bottom: f64,
}

/// A picture that grows.
pub(crate) struct Svg {
    body: String,
    width: f64,
    height: f64,
}

/// Where a text stands against its point.
#[derive(Clone, Copy)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

/// Colours that stay apart for most colour-blind readers (Okabe and Ito 2008), dark enough for a
/// white ground.
const COLOURS: [&str; 8] =
    ["#7a7a7a", "#e69f00", "#56b4e9", "#009e73", "#0072b2", "#cc79a7", "#d55e00", "#b8a800"];

/// The colour of the `index`th thing that is compared.
pub(crate) const fn colour(index: usize) -> &'static str {
    COLOURS[index % COLOURS.len()]
}

const GRID: &str = "#e3e3e3";

impl Svg {
    /// A picture with a title and what is to be said below it.
    pub(crate) fn new(width: f64, height: f64, title: &str, subtitle: &str) -> Self {
        let mut svg = Self { body: String::new(), width, height };
        svg.rect(0.0, 0.0, width, height, "#fff", "");
        svg.put(format_args!(
            r##"<text x="20" y="28" font-size="16" font-weight="600" fill="#111">{}</text>"##,
            escape(title)
        ));
        svg.put(format_args!(r#"<text x="20" y="46">{}</text>"#, escape(subtitle)));
        svg
    }

    fn put(&mut self, element: impl Display) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.body, "{element}");
    }

    /// A filled rectangle; `tip` is shown by viewers that show such things.
    pub(crate) fn rect(&mut self, x: f64, y: f64, width: f64, height: f64, fill: &str, tip: &str) {
        let (width, height) = (width.max(0.0), height.max(0.0));
        let tip =
            if tip.is_empty() { String::new() } else { format!("<title>{}</title>", escape(tip)) };
        let place = format!(r#"x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}""#);
        self.put(format_args!(r#"<rect {place} fill="{fill}">{tip}</rect>"#));
    }

    pub(crate) fn text(&mut self, x: f64, y: f64, anchor: Anchor, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        self.put(format_args!(
            r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{}</text>"#,
            escape(text)
        ));
    }

    /// A text that reads upwards, centred on its point.
    pub(crate) fn upright(&mut self, x: f64, y: f64, text: &str) {
        let place = format!(r#"transform="translate({x:.1} {y:.1}) rotate(-90)""#);
        self.put(format_args!(r#"<text {place} text-anchor="middle">{}</text>"#, escape(text)));
    }

    /// A text that stands out in a colour.
    pub(crate) fn emphasis(&mut self, x: f64, y: f64, fill: &str, text: &str) {
        let style = format!(r#"font-weight="600" fill="{fill}""#);
        self.put(format_args!(r#"<text x="{x:.1}" y="{y:.1}" {style}>{}</text>"#, escape(text)));
    }

    /// A dot on a line.
    pub(crate) fn dot(&mut self, x: f64, y: f64, fill: &str, tip: &str) {
        let place = format!(r#"cx="{x:.1}" cy="{y:.1}" r="3""#);
        let tip = escape(tip);
        self.put(format_args!(r#"<circle {place} fill="{fill}"><title>{tip}</title></circle>"#));
    }

    pub(crate) fn grid(&mut self, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
        self.put(format_args!(
            r#"<line x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}" stroke="{GRID}"/>"#
        ));
    }

    pub(crate) fn polyline(
        &mut self,
        points: impl Iterator<Item = (f64, f64)>,
        stroke: &str,
        tip: &str,
    ) {
        let points: Vec<String> = points.map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let points = points.join(" ");
        let style =
            format!(r#"fill="none" stroke="{stroke}" stroke-width="2" stroke-linejoin="round""#);
        let tip = escape(tip);
        self.put(format_args!(
            r#"<polyline points="{points}" {style}><title>{tip}</title></polyline>"#
        ));
    }

    /// Names beside squares of their colours, in lines of the picture's width from `y` on.
    pub(crate) fn legend<'a>(
        &mut self,
        left: f64,
        mut y: f64,
        entries: impl Iterator<Item = (&'a str, &'a str)>,
    ) {
        let mut x = left;
        for (name, colour) in entries {
            let wide = 26.0 + 7.0 * name.chars().count() as f64;
            if x + wide > self.width - 10.0 {
                (x, y) = (left, y + 18.0);
            }
            self.rect(x, y - 9.0, 10.0, 10.0, colour, "");
            self.text(x + 15.0, y, Anchor::Start, name);
            x += wide;
        }
    }

    pub(crate) fn finish(self) -> String {
        let Self { body, width, height } = self;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
             font-family=\"system-ui, sans-serif\" font-size=\"12\" fill=\"#444\">\n{body}</svg>\n"
        )
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Every element is closed in order, attributes are quoted, and no number is missing.
    #[track_caller]
    pub(crate) fn is_well_formed(svg: &str) {
        assert!(
            svg.starts_with("<svg ")
                && svg.ends_with("</svg>\n")
                && !svg.contains("NaN")
                && !svg.contains("inf"),
            "{svg}"
        );
        let mut open: Vec<&str> = Vec::new();
        for tag in svg.split('<').skip(1) {
            let (tag, text) =
                tag.split_once('>').unwrap_or_else(|| panic!("a tag without an end: {tag}"));
            assert!(!text.contains(['<', '"']) && tag.matches('"').count() % 2 == 0, "{tag}");
            match tag.strip_prefix('/') {
                Some(name) => assert_eq!(open.pop(), Some(name)),
                None if tag.ends_with('/') => {}
                None => open.push(tag.split(' ').next().unwrap_or_default()),
            }
        }
        assert!(open.is_empty(), "{open:?}");
    }

    #[test]
    fn hostile_names_do_not_break_a_picture() {
        let mut svg = Svg::new(100.0, 100.0, "<&\">", "a < b");
        svg.legend(0.0, 10.0, [("\"<script>", "#fff")].into_iter());
        svg.polyline([(0.0, 1.0)].into_iter(), "#000", "x > y");
        is_well_formed(&svg.finish());
    }
}
