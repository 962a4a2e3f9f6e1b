//! The page around the sections: head, style, script, contents.

use super::html::escaped;

/// Style sheet: colours as variables, light, dark and print.
const STYLE: &str = include_str!("style.css");
/// Sorts, filters, hides series; the page reads without it.
const SCRIPT: &str = include_str!("script.js");

/// A whole page of sections: id, title, content.
pub(super) fn page(title: &str, top: &str, sections: &[(&str, &str, String)]) -> String {
    let links: Vec<String> =
        sections.iter().map(|(id, title, _)| format!("<a href=\"#{id}\">{}</a>\n", escaped(title))).collect();
    let body: Vec<String> =
        sections.iter().map(|(id, title, content)| super::html::section(id, title, content)).collect();
    let (links, body) = (links.concat(), body.concat());
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{}</title>\n<style>\n{STYLE}</style>\n</head>\n\
         <body>\n<main>\n{top}<nav>\n{links}</nav>\n{body}</main>\n<script>\n{SCRIPT}</script>\n</body>\n</html>\n",
        escaped(title)
    )
}
