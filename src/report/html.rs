//! Pieces of HTML: escaped text, tables, figures. Tags are opened and closed here, so that they balance.

use std::fmt::Write;

use super::plot::Size;

/// Text that cannot become markup, neither in an element nor in a quoted attribute.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // Not allowed in HTML.
            c if c.is_control() && c != '\n' && c != '\t' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// A paragraph of text.
pub(super) fn paragraph(text: &str) -> String {
    format!("<p>{}</p>\n", escaped(text))
}

/// A list of texts.
pub(super) fn list<'a>(items: impl IntoIterator<Item = &'a str>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| format!("<li>{}</li>\n", escaped(item))).collect();
    format!("<ul>\n{}</ul>\n", items.concat())
}

/// A smaller heading.
pub(super) fn heading(text: &str) -> String {
    format!("<h3>{}</h3>\n", escaped(text))
}

/// A figure that is seen first: what it is, its value, and what is beside it.
pub(super) fn card(what: &str, value: &str, beside: &str) -> String {
    format!(
        "<div class=\"card\"><span>{}</span><b>{}</b><span>{}</span></div>\n",
        escaped(what),
        escaped(value),
        escaped(beside)
    )
}

/// Text to copy.
pub(super) fn code(text: &str) -> String {
    format!("<pre class=\"copy\"><code>{}</code></pre>\n", escaped(text))
}

/// A section with a heading; its id is what links and tests know it by.
pub(super) fn section(id: &str, title: &str, content: &str) -> String {
    format!("<section id=\"{id}\">\n<h2>{}</h2>\n{content}</section>\n", escaped(title))
}

/// A table of text; columns whose every cell is a number are aligned right.
#[derive(Debug, Clone, Default)]
pub(super) struct Table {
    caption: String,
    head: Vec<String>,
    rows: Vec<Vec<String>>,
    tools: bool,
    tall: bool,
    tight: bool,
}

impl Table {
    pub(super) fn new(caption: &str, head: &[&str]) -> Self {
        Table {
            caption: caption.to_owned(),
            head: head.iter().map(|&h| h.to_owned()).collect(),
            ..Table::default()
        }
    }

    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// With a field that filters its rows; headings sort in any case.
    pub(super) fn filtered(mut self) -> Self {
        self.tools = true;
        self
    }

    /// Long: it scrolls on screens.
    pub(super) fn tall(mut self) -> Self {
        self.tall = true;
        self
    }

    /// Short cells: none breaks.
    pub(super) fn tight(mut self) -> Self {
        self.tight = true;
        self
    }

    pub(super) fn html(&self) -> String {
        let is_number = |text: &str| {
            let digits = text.trim_start_matches(['$', '+', '-']).trim_end_matches(['x', '%', ' ']);
            text.is_empty() || text == "-" || digits.parse::<f64>().is_ok()
        };
        let numeric: Vec<bool> = (0..self.head.len())
            .map(|column| self.rows.iter().all(|row| row.get(column).is_none_or(|cell| is_number(cell))))
            .collect();
        let class = |column: usize| if numeric.get(column) == Some(&true) { " class=\"n\"" } else { "" };
        let mut out = format!(
            "<div class=\"scroll{}{}\"><table{}>\n<caption>{}</caption>\n<thead><tr>",
            if self.tall { " tall" } else { "" },
            if self.tight { " tight" } else { "" },
            if self.tools { " data-filter=\"\"" } else { "" },
            escaped(&self.caption)
        );
        for (column, head) in self.head.iter().enumerate() {
            let _ = write!(out, "<th scope=\"col\"{}>{}</th>", class(column), escaped(head));
        }
        out.push_str("</tr></thead>\n<tbody>\n");
        for row in &self.rows {
            out.push_str("<tr>");
            for (column, cell) in row.iter().enumerate() {
                let _ = write!(out, "<td{}>{}</td>", class(column), escaped(cell));
            }
            out.push_str("</tr>\n");
        }
        out + "</tbody>\n</table></div>\n"
    }
}

/// A plot in both sizes with its legend: series and names.
pub(super) fn figure(legend: &[(u8, &str)], caption: &str, draw: impl Fn(Size) -> String) -> String {
    let keys: Vec<String> = legend
        .iter()
        .map(|(series, name)| {
            format!(
                "<span class=\"key\" data-g=\"{series}\"><i class=\"b{series}\"></i>{}</span>\n",
                escaped(name)
            )
        })
        .collect();
    let keys = if keys.is_empty() {
        String::new()
    } else {
        format!("<div class=\"keys\">\n{}</div>\n", keys.concat())
    };
    format!(
        "<figure>\n{keys}<div class=\"wide\">{}</div>\n<div class=\"narrow\">{}</div>\n<figcaption>{}</figcaption>\n</figure>\n",
        draw(Size::Wide),
        draw(Size::Narrow),
        escaped(caption)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text() {
        assert_eq!(escaped("<b onx='1'>&\"\u{7}"), "&lt;b onx=&#39;1&#39;&gt;&amp;&quot;\u{fffd}");
        let mut table = Table::new("<c>", &["<h>", "n"]);
        table.row(["<td>".to_owned(), "1.5x".to_owned()]);
        let html = table.html();
        assert!(!html.contains("<c>") && !html.contains("<h>") && html.contains("&lt;td&gt;"));
        assert!(html.contains("<td class=\"n\">1.5x</td>") && html.contains("<td>&lt;td&gt;</td>"));
    }
}
