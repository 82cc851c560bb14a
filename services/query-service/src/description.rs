//! What a SPARQL client may know of the endpoint: <https://www.w3.org/TR/sparql11-service-description/>.

use axum::http::header;
use axum::response::{IntoResponse, Response};

const FORMATS: &[&str] = &[
    "SPARQL_Results_JSON",
    "SPARQL_Results_XML",
    "SPARQL_Results_CSV",
    "SPARQL_Results_TSV",
    "Turtle",
    "N-Triples",
    "RDF_XML",
    "JSON-LD",
];

pub(crate) fn response(public_url: &str) -> Response {
    (
        [(header::CONTENT_TYPE, "text/turtle; charset=utf-8")],
        turtle(public_url),
    )
        .into_response()
}

fn turtle(public_url: &str) -> String {
    // The URL is a setting; what is no part of an IRI in it would break the answer for every reader.
    let url: String = public_url
        .chars()
        .filter(|c| !c.is_control() && !r#"<>"{}|^`\ "#.contains(*c))
        .collect();
    let formats: Vec<_> = FORMATS
        .iter()
        .map(|name| format!("<http://www.w3.org/ns/formats/{name}>"))
        .collect();
    format!(
        "@prefix sd: <http://www.w3.org/ns/sparql-service-description#> .\n\n\
         <{url}/sparql> a sd:Service ;\n    \
         sd:endpoint <{url}/sparql> ;\n    \
         sd:supportedLanguage sd:SPARQL11Query ;\n    \
         sd:resultFormat {} ;\n    \
         sd:defaultDataset [ a sd:Dataset ; sd:defaultGraph [ a sd:Graph ] ] .\n",
        formats.join(" , ")
    )
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_endpoint_is_named() {
        let text = super::turtle("https://renku.example.org");
        assert!(
            text.contains("sd:endpoint <https://renku.example.org/sparql> ;"),
            "{text}"
        );
    }
}
