//! The terms of the Renku ontology and of the vocabularies it builds on.

macro_rules! rdf {
    ($name:literal) => {
        concat!("http://www.w3.org/1999/02/22-rdf-syntax-ns#", $name)
    };
}
macro_rules! prov {
    ($name:literal) => {
        concat!("http://www.w3.org/ns/prov#", $name)
    };
}
macro_rules! schema {
    ($name:literal) => {
        concat!("http://schema.org/", $name)
    };
}
macro_rules! renku {
    ($name:literal) => {
        concat!("https://swissdatasciencecenter.github.io/renku-ontology#", $name)
    };
}
macro_rules! oa {
    ($name:literal) => {
        concat!("http://www.w3.org/ns/oa#", $name)
    };
}
macro_rules! dcterms {
    ($name:literal) => {
        concat!("http://purl.org/dc/terms/", $name)
    };
}
macro_rules! xsd {
    ($name:literal) => {
        concat!("http://www.w3.org/2001/XMLSchema#", $name)
    };
}

/// The prefixes that writers declare: name and namespace.
pub const PREFIXES: &[(&str, &str)] = &[
    ("rdf", rdf!("")),
    ("prov", prov!("")),
    ("schema", schema!("")),
    ("renku", renku!("")),
    ("oa", oa!("")),
    ("dcterms", dcterms!("")),
    ("xsd", xsd!("")),
];

macro_rules! vocabulary {
    ($($name:ident = $iri:expr,)*) => {
        /// A term that is known at compile time. Every [`crate::Graph`] holds all of them from the start, so using one costs nothing.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u16)]
        #[allow(missing_docs, reason = "the name says it")]
        pub enum Known {
            $($name,)*
        }

        impl Known {
            /// All of them, in the order of their numbers.
            pub const ALL: &'static [Known] = &[$(Known::$name,)*];

            /// The IRI.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Known::$name => $iri,)*
                }
            }
        }
    };
}

vocabulary! {
    RdfType = rdf!("type"),
    RdfFirst = rdf!("first"),
    RdfRest = rdf!("rest"),
    RdfNil = rdf!("nil"),
    RdfLangString = rdf!("langString"),
    RdfJson = rdf!("JSON"),

    XsdString = xsd!("string"),
    XsdInteger = xsd!("integer"),
    XsdDouble = xsd!("double"),
    XsdBoolean = xsd!("boolean"),
    XsdDateTime = xsd!("dateTime"),

    ProvActivity = prov!("Activity"),
    ProvAssociation = prov!("Association"),
    ProvCollection = prov!("Collection"),
    ProvEntity = prov!("Entity"),
    ProvGeneration = prov!("Generation"),
    ProvLocation = prov!("Location"),
    ProvPerson = prov!("Person"),
    ProvPlan = prov!("Plan"),
    ProvSoftwareAgent = prov!("SoftwareAgent"),
    ProvUsage = prov!("Usage"),

    SchemaAction = schema!("Action"),
    SchemaCreativeWork = schema!("CreativeWork"),
    SchemaDataset = schema!("Dataset"),
    SchemaDigitalDocument = schema!("DigitalDocument"),
    SchemaImageObject = schema!("ImageObject"),
    SchemaLanguage = schema!("Language"),
    SchemaPerson = schema!("Person"),
    SchemaProject = schema!("Project"),
    SchemaProperty = schema!("Property"),
    SchemaPropertyValue = schema!("PropertyValue"),
    SchemaPublicationEvent = schema!("PublicationEvent"),
    SchemaUrlClass = schema!("URL"),

    RenkuCommandInput = renku!("CommandInput"),
    RenkuCommandOutput = renku!("CommandOutput"),
    RenkuCommandParameter = renku!("CommandParameter"),
    RenkuCommandParameterBase = renku!("CommandParameterBase"),
    RenkuCompositePlan = renku!("CompositePlan"),
    RenkuIoStream = renku!("IOStream"),
    RenkuParameterLink = renku!("ParameterLink"),
    RenkuParameterMapping = renku!("ParameterMapping"),
    RenkuParameterValue = renku!("ParameterValue"),
    RenkuPlan = renku!("Plan"),
    RenkuWorkflowFileActivityCollection = renku!("WorkflowFileActivityCollection"),
    RenkuWorkflowFileCompositePlan = renku!("WorkflowFileCompositePlan"),
    RenkuWorkflowFilePlan = renku!("WorkflowFilePlan"),

    OaAnnotation = oa!("Annotation"),
    OaHasBody = oa!("hasBody"),
    OaHasTarget = oa!("hasTarget"),
    DctermsCreator = dcterms!("creator"),

    ProvActivityOf = prov!("activity"),
    ProvAgent = prov!("agent"),
    ProvAtLocation = prov!("atLocation"),
    ProvEndedAtTime = prov!("endedAtTime"),
    ProvEntityOf = prov!("entity"),
    ProvHadMember = prov!("hadMember"),
    ProvHadPlan = prov!("hadPlan"),
    ProvInvalidatedAtTime = prov!("invalidatedAtTime"),
    ProvQualifiedAssociation = prov!("qualifiedAssociation"),
    ProvQualifiedGeneration = prov!("qualifiedGeneration"),
    ProvQualifiedUsage = prov!("qualifiedUsage"),
    ProvStartedAtTime = prov!("startedAtTime"),
    ProvWasAssociatedWith = prov!("wasAssociatedWith"),
    ProvWasDerivedFrom = prov!("wasDerivedFrom"),
    ProvWasInvalidatedBy = prov!("wasInvalidatedBy"),

    SchemaAbout = schema!("about"),
    SchemaAffiliation = schema!("affiliation"),
    SchemaAgent = schema!("agent"),
    SchemaAlternateName = schema!("alternateName"),
    SchemaContentUrl = schema!("contentUrl"),
    SchemaCreator = schema!("creator"),
    SchemaDateCreated = schema!("dateCreated"),
    SchemaDateModified = schema!("dateModified"),
    SchemaDatePublished = schema!("datePublished"),
    SchemaDefaultValue = schema!("defaultValue"),
    SchemaDescription = schema!("description"),
    SchemaEmail = schema!("email"),
    SchemaEncodingFormat = schema!("encodingFormat"),
    SchemaHasPart = schema!("hasPart"),
    SchemaIdentifier = schema!("identifier"),
    SchemaImage = schema!("image"),
    SchemaInLanguage = schema!("inLanguage"),
    SchemaIsBasedOn = schema!("isBasedOn"),
    SchemaKeywords = schema!("keywords"),
    SchemaLicense = schema!("license"),
    SchemaName = schema!("name"),
    SchemaPosition = schema!("position"),
    SchemaSameAs = schema!("sameAs"),
    SchemaSchemaVersion = schema!("schemaVersion"),
    SchemaStartDate = schema!("startDate"),
    SchemaUrl = schema!("url"),
    SchemaValue = schema!("value"),
    SchemaValueReference = schema!("valueReference"),
    SchemaVersion = schema!("version"),

    RenkuChecksum = renku!("checksum"),
    RenkuCommand = renku!("command"),
    RenkuCreateFolder = renku!("createFolder"),
    RenkuExternal = renku!("external"),
    RenkuHasActivity = renku!("hasActivity"),
    RenkuHasActivityCollection = renku!("hasActivityCollection"),
    RenkuHasArguments = renku!("hasArguments"),
    RenkuHasDataset = renku!("hasDataset"),
    RenkuHasInputs = renku!("hasInputs"),
    RenkuHasMappings = renku!("hasMappings"),
    RenkuHasOutputs = renku!("hasOutputs"),
    RenkuHasPlan = renku!("hasPlan"),
    RenkuHasSubprocess = renku!("hasSubprocess"),
    RenkuImmutableTemplateFiles = renku!("immutableTemplateFiles"),
    RenkuLinkSink = renku!("linkSink"),
    RenkuLinkSource = renku!("linkSource"),
    RenkuMappedTo = renku!("mappedTo"),
    RenkuMapsTo = renku!("mapsTo"),
    RenkuOriginalIdentifier = renku!("originalIdentifier"),
    RenkuParameter = renku!("parameter"),
    RenkuPosition = renku!("position"),
    RenkuPrefix = renku!("prefix"),
    RenkuSlug = renku!("slug"),
    RenkuSource = renku!("source"),
    RenkuStreamType = renku!("streamType"),
    RenkuSuccessCodes = renku!("successCodes"),
    RenkuTemplateId = renku!("templateId"),
    RenkuTemplateMetadata = renku!("templateMetadata"),
    RenkuTemplateReference = renku!("templateReference"),
    RenkuTemplateSource = renku!("templateSource"),
    RenkuTemplateVersion = renku!("templateVersion"),
    RenkuWorkflowLinks = renku!("workflowLinks"),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_places_and_no_iri_is_there_twice() {
        let mut seen = std::collections::BTreeSet::new();
        for (place, known) in Known::ALL.iter().enumerate() {
            assert_eq!(*known as usize, place);
            assert!(seen.insert(known.as_str()), "{}", known.as_str());
            assert!(crate::is_absolute_iri(known.as_str()));
        }
    }
}
