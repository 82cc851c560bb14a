//! Numbers between JSON and XML Schema.

/// The canonical `xsd:double` of a JSON number (or of Python's `NaN`, `Infinity`, `-Infinity`): `2.5` gives `2.5E0`.
/// `None` when the text is no number.
pub fn double_from_json(text: &str) -> Option<String> {
    let value = match text {
        "NaN" => return Some("NaN".to_owned()),
        "Infinity" => f64::INFINITY,
        "-Infinity" => f64::NEG_INFINITY,
        _ => text.parse::<f64>().ok()?,
    };
    if value.is_infinite() {
        return Some(if value > 0.0 { "INF" } else { "-INF" }.to_owned());
    }
    let mut lexical = format!("{value:E}");
    if let Some(e) = lexical.find('E')
        && !lexical[..e].contains('.')
    {
        lexical.insert_str(e, ".0");
    }
    Some(lexical)
}

/// The JSON number of an `xsd:double`, with a point or an exponent so that it is read back as one.
/// `None` where JSON has no such number.
pub fn double_to_json(lexical: &str) -> Option<String> {
    lexical
        .parse::<f64>()
        .ok()
        .filter(|value| value.is_finite())
        .map(|value| format!("{value:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles() {
        for (json, lexical) in [
            ("2.5", "2.5E0"),
            ("2.0", "2.0E0"),
            ("1e16", "1.0E16"),
            ("-0.0", "-0.0E0"),
            ("0.00012", "1.2E-4"),
            ("1e999", "INF"),
            ("-Infinity", "-INF"),
            ("NaN", "NaN"),
        ] {
            assert_eq!(double_from_json(json).as_deref(), Some(lexical));
        }
        assert_eq!(double_to_json("2.0E0").as_deref(), Some("2.0"));
        assert_eq!(double_to_json("1.0E16").as_deref(), Some("1e16"));
        assert_eq!(double_to_json("INF"), None);
        assert_eq!(double_from_json("x"), None);
    }
}
