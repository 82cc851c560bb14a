//! The engine reads and evaluates by recursion, so how deep a query can make it go is bounded before it is read. Signs before
//! signs nest as brackets do, and the time of reading them grows with the square of their number.

/// Brackets within brackets. Queries that people write stay below ten.
const DEEPEST: usize = 100;

/// Signs in a row. Lines of dashes in comments stay below.
const MOST_SIGNS: usize = 1_000;

/// Whether brackets are nested too deep. Brackets in strings and comments count as well: that only makes the bound tighter.
pub(crate) fn is_too_deep(query: &str) -> bool {
    let (mut depth, mut signs) = (0usize, 0usize);
    for byte in query.bytes() {
        match byte {
            b'(' | b'{' | b'[' => depth += 1,
            b')' | b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        match byte {
            b'!' | b'-' | b'+' | b'^' | b'*' | b'?' => signs += 1,
            _ if byte.is_ascii_whitespace() => {}
            _ => signs = 0,
        }
        if depth > DEEPEST || signs > MOST_SIGNS {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_counts_and_length_does_not() {
        assert!(!is_too_deep(&"{}".repeat(10_000)));
        assert!(!is_too_deep(&format!("{}{}", "(".repeat(100), ")".repeat(100))));
        assert!(is_too_deep(&"([{".repeat(34)));
        assert!(!is_too_deep(&"!a ".repeat(10_000)));
        assert!(is_too_deep(&"! ".repeat(1_001)));
        assert!(!is_too_deep(&format!("#{}\n", "-".repeat(200))));
    }
}
