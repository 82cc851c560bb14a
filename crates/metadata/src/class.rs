//! The classes of the database, and how their attributes become triples.

use rdf::Known;

macro_rules! classes {
    ($($name:ident),* $(,)?) => {
        /// A class, by the last component of its Python name. Files of older releases have other modules before it.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub(crate) enum Class {
            $($name,)*
            /// A class that has no triples of its own.
            Other,
        }

        impl Class {
            pub(crate) fn of(python_name: &str) -> Self {
                match python_name.rsplit('.').next().unwrap_or(python_name) {
                    $(stringify!($name) => Self::$name,)*
                    _ => Self::Other,
                }
            }

            pub(crate) fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                    Self::Other => "object of another class",
                }
            }
        }
    };
}

classes! {
    Activity, ActivityCollection, Annotation, Association, Collection, CommandInput, CommandOutput, CommandParameter,
    CompositePlan, Dataset, DatasetFile, DatasetTag, Entity, Generation, ImageObject, Language, MappedIOStream,
    ParameterLink, ParameterMapping, ParameterValue, Person, Plan, Project, ProjectTemplateMetadata, RemoteEntity,
    SoftwareAgent, Url, Usage, WorkflowFileActivityCollection, WorkflowFileCompositePlan, WorkflowFilePlan,
}

/// What an attribute holds, and what becomes of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Holds {
    /// A plain string each; numbers are written as text.
    Text,
    /// A literal each, typed by its JSON type.
    Raw,
    /// A date as a plain string, without fraction.
    Date,
    /// `xsd:dateTime` without fraction.
    DateTime,
    /// `xsd:dateTime` with its fraction.
    ExactDateTime,
    /// `YYYY-MM-DD` as a plain string.
    Day,
    /// An IRI.
    Iri,
    /// A string, or an IRI if stored as `{"@id": …}`.
    TextOrIri,
    Integer,
    Boolean,
    /// A boolean that is false for files that became linked; see [`crate::ObjectSource::is_linked`].
    External,
    /// Nested objects.
    Nested,
    /// Nested objects that point here.
    Reverse,
}

/// One attribute that is exported.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    pub(crate) attribute: &'static str,
    pub(crate) predicate: Known,
    pub(crate) holds: Holds,
}

const fn field(attribute: &'static str, predicate: Known, holds: Holds) -> Field {
    Field {
        attribute,
        predicate,
        holds,
    }
}

impl Class {
    /// The `rdf:type`s.
    pub(crate) fn types(self) -> &'static [Known] {
        use Known::*;
        match self {
            Self::Activity => &[ProvActivity],
            Self::Annotation => &[OaAnnotation],
            Self::Association => &[ProvAssociation],
            Self::Collection => &[ProvEntity, ProvCollection],
            Self::CommandInput => &[RenkuCommandInput, RenkuCommandParameterBase, SchemaProperty],
            Self::CommandOutput => &[RenkuCommandOutput, RenkuCommandParameterBase, SchemaProperty],
            Self::CommandParameter => &[RenkuCommandParameter, RenkuCommandParameterBase, SchemaProperty],
            Self::ParameterMapping => &[RenkuParameterMapping, RenkuCommandParameterBase, SchemaProperty],
            Self::ParameterLink => &[RenkuParameterLink, SchemaProperty],
            Self::CompositePlan => &[ProvPlan, SchemaAction, SchemaCreativeWork, RenkuCompositePlan],
            Self::WorkflowFileCompositePlan => &[
                ProvPlan,
                SchemaAction,
                SchemaCreativeWork,
                RenkuCompositePlan,
                RenkuWorkflowFileCompositePlan,
            ],
            Self::Plan => &[ProvPlan, SchemaAction, SchemaCreativeWork, RenkuPlan],
            Self::WorkflowFilePlan => &[
                ProvPlan,
                SchemaAction,
                SchemaCreativeWork,
                RenkuPlan,
                RenkuWorkflowFilePlan,
            ],
            Self::Dataset => &[SchemaDataset, ProvEntity],
            Self::DatasetFile => &[SchemaDigitalDocument, ProvEntity],
            Self::DatasetTag => &[SchemaPublicationEvent],
            Self::Entity | Self::RemoteEntity => &[ProvEntity],
            Self::Generation => &[ProvGeneration],
            Self::ImageObject => &[SchemaImageObject],
            Self::Language => &[SchemaLanguage],
            Self::MappedIOStream => &[RenkuIoStream],
            Self::ParameterValue => &[RenkuParameterValue, SchemaPropertyValue],
            Self::Person => &[ProvPerson, SchemaPerson],
            Self::Project => &[SchemaProject, ProvLocation],
            Self::SoftwareAgent => &[ProvSoftwareAgent],
            Self::Url => &[SchemaUrlClass],
            Self::Usage => &[ProvUsage],
            Self::WorkflowFileActivityCollection => &[RenkuWorkflowFileActivityCollection, ProvCollection],
            Self::ActivityCollection | Self::ProjectTemplateMetadata | Self::Other => &[],
        }
    }

    /// The predicate from the project to an object of this class.
    pub(crate) fn membership(self) -> Option<Known> {
        match self {
            Self::Activity => Some(Known::RenkuHasActivity),
            Self::Dataset => Some(Known::RenkuHasDataset),
            Self::WorkflowFileActivityCollection => Some(Known::RenkuHasActivityCollection),
            _ if self.is_plan() => Some(Known::RenkuHasPlan),
            _ => None,
        }
    }

    pub(crate) fn is_plan(self) -> bool {
        matches!(
            self,
            Self::Plan | Self::WorkflowFilePlan | Self::CompositePlan | Self::WorkflowFileCompositePlan
        )
    }

    /// The attributes that are exported.
    pub(crate) fn fields(self) -> &'static [Field] {
        match self {
            Self::Activity => ACTIVITY,
            Self::Annotation => ANNOTATION,
            Self::Association => ASSOCIATION,
            Self::Collection => COLLECTION,
            Self::CommandInput => INPUT,
            Self::CommandOutput => OUTPUT,
            Self::CommandParameter => PARAMETER,
            Self::CompositePlan => COMPOSITE_PLAN,
            Self::Dataset => DATASET,
            Self::DatasetFile => DATASET_FILE,
            Self::DatasetTag => DATASET_TAG,
            Self::Entity => ENTITY,
            Self::Generation => GENERATION,
            Self::ImageObject => IMAGE,
            Self::Language => LANGUAGE,
            Self::MappedIOStream => STREAM,
            Self::ParameterLink => LINK,
            Self::ParameterMapping => MAPPING,
            Self::ParameterValue => PARAMETER_VALUE,
            Self::Person => PERSON,
            Self::Plan | Self::WorkflowFilePlan => PLAN,
            Self::Project => PROJECT,
            Self::ProjectTemplateMetadata => TEMPLATE,
            Self::RemoteEntity => REMOTE_ENTITY,
            Self::SoftwareAgent => SOFTWARE_AGENT,
            Self::Url => URL,
            Self::Usage => USAGE,
            Self::WorkflowFileActivityCollection => FILE_COLLECTION,
            Self::WorkflowFileCompositePlan => FILE_COMPOSITE_PLAN,
            Self::ActivityCollection | Self::Other => &[],
        }
    }
}

use Holds::*;
use Known::*;

const PROJECT: &[Field] = &[
    field("agent_version", SchemaAgent, Text),
    field("annotations", OaHasTarget, Reverse),
    field("creator", SchemaCreator, Nested),
    field("date_created", SchemaDateCreated, Date),
    field("description", SchemaDescription, Text),
    field("image", SchemaImage, Nested),
    field("keywords", SchemaKeywords, Text),
    field("name", SchemaName, Text),
    field("version", SchemaSchemaVersion, Text),
];

/// These are written on the project's own node.
const TEMPLATE: &[Field] = &[
    field("template_id", RenkuTemplateId, Text),
    field("metadata", RenkuTemplateMetadata, Text),
    field("template_ref", RenkuTemplateReference, Text),
    field("template_source", RenkuTemplateSource, Text),
    field("template_version", RenkuTemplateVersion, Text),
    field("immutable_template_files", RenkuImmutableTemplateFiles, Text),
];

const PERSON: &[Field] = &[
    field("affiliation", SchemaAffiliation, Text),
    field("alternate_name", SchemaAlternateName, Text),
    field("email", SchemaEmail, Text),
    field("name", SchemaName, Text),
];

const SOFTWARE_AGENT: &[Field] = &[field("name", SchemaName, Text)];

/// `slug` and `name` depend on each other in old files, see `decode`.
const DATASET: &[Field] = &[
    field("annotations", OaHasTarget, Reverse),
    field("creators", SchemaCreator, Nested),
    field("date_created", SchemaDateCreated, Date),
    field("date_modified", SchemaDateModified, Date),
    field("date_published", SchemaDatePublished, Day),
    field("date_removed", ProvInvalidatedAtTime, Date),
    field("derived_from", ProvWasDerivedFrom, Nested),
    field("same_as", SchemaSameAs, Nested),
    field("description", SchemaDescription, Text),
    field("dataset_files", SchemaHasPart, Nested),
    field("identifier", SchemaIdentifier, Text),
    field("initial_identifier", RenkuOriginalIdentifier, Text),
    field("images", SchemaImage, Nested),
    field("in_language", SchemaInLanguage, Nested),
    field("keywords", SchemaKeywords, Text),
    field("license", SchemaLicense, TextOrIri),
    field("version", SchemaVersion, Text),
];

const DATASET_FILE: &[Field] = &[
    field("entity", ProvEntityOf, Nested),
    field("date_added", SchemaDateCreated, Date),
    field("date_removed", ProvInvalidatedAtTime, Date),
    field("based_on", SchemaIsBasedOn, Nested),
    field("is_external", RenkuExternal, External),
    field("source", RenkuSource, Text),
];

const ENTITY: &[Field] = &[
    field("checksum", RenkuChecksum, Text),
    field("path", ProvAtLocation, Text),
];

const COLLECTION: &[Field] = &[
    field("checksum", RenkuChecksum, Text),
    field("path", ProvAtLocation, Text),
    field("members", ProvHadMember, Nested),
];

const REMOTE_ENTITY: &[Field] = &[
    field("checksum", RenkuChecksum, Text),
    field("path", ProvAtLocation, Text),
    field("url", SchemaUrl, Text),
];

const URL: &[Field] = &[field("url", SchemaUrl, TextOrIri)];

const DATASET_TAG: &[Field] = &[
    field("dataset_id", SchemaAbout, Nested),
    field("date_created", SchemaStartDate, Date),
    field("description", SchemaDescription, Text),
    field("name", SchemaName, Text),
];

const IMAGE: &[Field] = &[
    field("content_url", SchemaContentUrl, Text),
    field("position", SchemaPosition, Integer),
];

const LANGUAGE: &[Field] = &[
    field("name", SchemaName, Text),
    field("alternate_name", SchemaAlternateName, Text),
];

/// `invalidated_at` is not exported: a reverted activity looks like a live one.
const ACTIVITY: &[Field] = &[
    field("agents", ProvWasAssociatedWith, Nested),
    field("association", ProvQualifiedAssociation, Nested),
    field("started_at_time", ProvStartedAtTime, DateTime),
    field("ended_at_time", ProvEndedAtTime, DateTime),
    field("usages", ProvQualifiedUsage, Nested),
    field("generations", ProvActivityOf, Reverse),
    field("invalidations", ProvWasInvalidatedBy, Reverse),
    field("parameters", RenkuParameter, Nested),
    field("annotations", OaHasTarget, Reverse),
];

const ASSOCIATION: &[Field] = &[
    field("agent", ProvAgent, Nested),
    field("plan", ProvHadPlan, Nested),
];

const USAGE: &[Field] = &[field("entity", ProvEntityOf, Nested)];

const GENERATION: &[Field] = &[field("entity", ProvQualifiedGeneration, Reverse)];

const PARAMETER_VALUE: &[Field] = &[
    field("parameter_id", SchemaValueReference, Iri),
    field("value", SchemaValue, Raw),
];

const FILE_COLLECTION: &[Field] = &[
    field("activities", SchemaHasPart, Nested),
    field("agents", ProvWasAssociatedWith, Nested),
    field("association", ProvQualifiedAssociation, Nested),
    field("started_at_time", ProvStartedAtTime, ExactDateTime),
    field("ended_at_time", ProvEndedAtTime, ExactDateTime),
];

const PLAN: &[Field] = &[
    field("command", RenkuCommand, Text),
    field("creators", SchemaCreator, Nested),
    field("date_created", SchemaDateCreated, Date),
    field("date_modified", SchemaDateModified, Date),
    field("date_removed", ProvInvalidatedAtTime, Date),
    field("derived_from", ProvWasDerivedFrom, Iri),
    field("description", SchemaDescription, Text),
    field("name", SchemaName, Text),
    field("keywords", SchemaKeywords, Text),
    field("inputs", RenkuHasInputs, Nested),
    field("outputs", RenkuHasOutputs, Nested),
    field("parameters", RenkuHasArguments, Nested),
    field("success_codes", RenkuSuccessCodes, Integer),
    field("annotations", OaHasTarget, Reverse),
];

macro_rules! composite {
    ($($more:expr),*) => {
        &[
            field("creators", SchemaCreator, Nested),
            field("date_created", SchemaDateCreated, Date),
            field("date_modified", SchemaDateModified, Date),
            field("date_removed", ProvInvalidatedAtTime, Date),
            field("derived_from", ProvWasDerivedFrom, Iri),
            field("description", SchemaDescription, Text),
            field("name", SchemaName, Text),
            field("keywords", SchemaKeywords, Text),
            field("plans", RenkuHasSubprocess, Nested),
            field("mappings", RenkuHasMappings, Nested),
            field("links", RenkuWorkflowLinks, Nested),
            $($more,)*
        ]
    };
}

const COMPOSITE_PLAN: &[Field] = composite!();
const FILE_COMPOSITE_PLAN: &[Field] = composite!(field("path", ProvAtLocation, Text));

macro_rules! parameter {
    ($($more:expr),*) => {
        &[
            field("default_value", SchemaDefaultValue, Raw),
            field("description", SchemaDescription, Text),
            field("name", SchemaName, Text),
            field("position", RenkuPosition, Integer),
            field("prefix", RenkuPrefix, Text),
            field("derived_from", ProvWasDerivedFrom, Text),
            $($more,)*
        ]
    };
}

const PARAMETER: &[Field] = parameter!();
const INPUT: &[Field] = parameter!(
    field("mapped_to", RenkuMappedTo, Nested),
    field("encoding_format", SchemaEncodingFormat, Text)
);
const OUTPUT: &[Field] = parameter!(
    field("mapped_to", RenkuMappedTo, Nested),
    field("encoding_format", SchemaEncodingFormat, Text),
    field("create_folder", RenkuCreateFolder, Boolean)
);
const MAPPING: &[Field] = parameter!(field("mapped_parameters", RenkuMapsTo, Nested));

const LINK: &[Field] = &[
    field("source", RenkuLinkSource, Nested),
    field("sinks", RenkuLinkSink, Nested),
];

const STREAM: &[Field] = &[field("stream_type", RenkuStreamType, Text)];

/// The body is JSON-LD and is read apart.
const ANNOTATION: &[Field] = &[field("source", DctermsCreator, Raw)];
