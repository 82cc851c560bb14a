//! Tables for people.

use serde_json::Value;

/// Columns that are as wide as what is in them. `columns`: the heading, and the field of each row.
pub(crate) fn table(rows: &[Value], columns: &[(&str, &str)]) -> String {
    let mut lines: Vec<Vec<String>> =
        vec![columns.iter().map(|(heading, _)| (*heading).to_owned()).collect()];
    lines.extend(
        rows.iter()
            .map(|row| columns.iter().map(|(_, field)| cell(&row[*field])).collect()),
    );
    let widths: Vec<usize> = (0..columns.len())
        .map(|at| {
            lines
                .iter()
                .map(|line| line[at].chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut out = String::new();
    for line in lines {
        let mut text = String::new();
        for (cell, width) in line.iter().zip(&widths) {
            let fill = width - cell.chars().count();
            text.push_str(cell);
            text.push_str(&" ".repeat(fill + 2));
        }
        out.push_str(text.trim_end());
        out.push('\n');
    }
    out
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        // Line breaks would break the table.
        Value::String(text) => text.replace(['\n', '\r', '\t'], " "),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [json!({"a": "x\ny", "b": 12}), json!({"a": "äöü-long", "b": null})];
        assert_eq!(
            table(&rows, &[("NAME", "a"), ("COUNT", "b")]),
            "NAME      COUNT\nx y       12\näöü-long\n"
        );
    }
}
