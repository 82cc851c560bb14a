//! Topics: what they are, and what is set for them.

use std::ffi::{CString, c_char};

use rdkafka::bindings as c;
use rdkafka::error::RDKafkaErrorCode;

use super::super::super::errors::Refusal;
use super::super::TopicState;
use super::{Owned, Through, ask, c_string, check, items, refused, text};

/// Id and number of partitions of topics; those that are not there are left out.
pub(in super::super) fn describe_topics(
    through: Through<'_>,
    topics: &[String],
) -> Result<Vec<TopicState>, Refusal> {
    const WHAT: &str = "asking for topics";
    let names: Vec<CString> = topics
        .iter()
        .map(|name| c_string(WHAT, name))
        .collect::<Result<_, _>>()?;
    let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
    // SAFETY: the names live until the end of this function, the library copies them.
    let collection =
        unsafe { c::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len()) };
    let collection = Owned::new(WHAT, collection, c::rd_kafka_TopicCollection_destroy)?;
    let operation = c::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
    let event = ask(WHAT, through, operation, |client, options, queue| {
        // SAFETY: all are alive.
        unsafe { c::rd_kafka_DescribeTopics(client, collection.get(), options.get(), queue.get()) }
    })?;
    let mut states = Vec::new();
    // SAFETY: everything read belongs to the event, which lives until the end of this function.
    unsafe {
        let result = c::rd_kafka_event_DescribeTopics_result(event.get());
        let mut count = 0;
        let found = c::rd_kafka_DescribeTopics_result_topics(result, &mut count);
        for topic in items(found, count) {
            match check(WHAT, c::rd_kafka_TopicDescription_error(*topic)) {
                Ok(()) => {}
                Err(refusal) if is_missing(&refusal) => continue,
                Err(refusal) => return Err(refusal),
            }
            let id = c::rd_kafka_TopicDescription_topic_id(*topic);
            let (high, low) = (
                c::rd_kafka_Uuid_most_significant_bits(id) as u64,
                c::rd_kafka_Uuid_least_significant_bits(id) as u64,
            );
            let mut partitions = 0;
            c::rd_kafka_TopicDescription_partitions(*topic, &mut partitions);
            states.push(TopicState {
                name: text(c::rd_kafka_TopicDescription_name(*topic)),
                id: u128::from(high) << 64 | u128::from(low),
                partitions: u32::try_from(partitions).unwrap_or(u32::MAX),
            });
        }
    }
    Ok(states)
}

fn is_missing(refusal: &Refusal) -> bool {
    matches!(
        refusal.code,
        Some(
            RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::UnknownTopicId
        )
    )
}

/// Makes one topic and waits until the brokers know it. One that is there already is fine.
pub(in super::super) fn create_topic(
    through: Through<'_>,
    topic: &str,
    partitions: u32,
    replication: Option<u16>,
    configuration: &[(String, String)],
) -> Result<(), Refusal> {
    const WHAT: &str = "making a topic";
    let name = c_string(WHAT, topic)?;
    let mut why = [0 as c_char; 256];
    let partitions = i32::try_from(partitions).unwrap_or(i32::MAX);
    // SAFETY: the library copies the name; `why` has the length that is told.
    let new = unsafe {
        c::rd_kafka_NewTopic_new(
            name.as_ptr(),
            partitions,
            replication.map_or(-1, i32::from),
            why.as_mut_ptr(),
            why.len(),
        )
    };
    let new = Owned::new(WHAT, new, c::rd_kafka_NewTopic_destroy)?;
    for (key, value) in configuration {
        let (key, value) = (c_string(WHAT, key)?, c_string(WHAT, value)?);
        // SAFETY: the library copies both.
        let code = unsafe { c::rd_kafka_NewTopic_set_config(new.get(), key.as_ptr(), value.as_ptr()) };
        refused(WHAT, code, String::new())?;
    }
    let mut list = [new.get()];
    let operation = c::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_CREATETOPICS;
    let event = ask(WHAT, through, operation, |client, options, queue| {
        // SAFETY: all are alive; the library copies the list.
        unsafe { c::rd_kafka_CreateTopics(client, list.as_mut_ptr(), 1, options.get(), queue.get()) }
    })?;
    // SAFETY: everything read belongs to the event.
    unsafe {
        let mut count = 0;
        let result = c::rd_kafka_event_CreateTopics_result(event.get());
        let results = c::rd_kafka_CreateTopics_result_topics(result, &mut count);
        topic_results(WHAT, items(results, count), RDKafkaErrorCode::TopicAlreadyExists)
    }
}

/// # Safety
/// The results are alive.
unsafe fn topic_results(
    what: &'static str,
    results: &[*const c::rd_kafka_topic_result_t],
    fine: RDKafkaErrorCode,
) -> Result<(), Refusal> {
    for result in results {
        // SAFETY: as the caller says.
        let (code, name, why) = unsafe {
            (
                c::rd_kafka_topic_result_error(*result),
                text(c::rd_kafka_topic_result_name(*result)),
                text(c::rd_kafka_topic_result_error_string(*result)),
            )
        };
        if RDKafkaErrorCode::from(code) != fine {
            refused(what, code, format!("{name}: {why}"))?;
        }
    }
    Ok(())
}

/// Deletes one topic with all that is in it.
pub(in super::super) fn delete_topic(through: Through<'_>, topic: &str) -> Result<(), Refusal> {
    const WHAT: &str = "deleting a topic";
    let name = c_string(WHAT, topic)?;
    // SAFETY: the library copies the name.
    let old = unsafe { c::rd_kafka_DeleteTopic_new(name.as_ptr()) };
    let old = Owned::new(WHAT, old, c::rd_kafka_DeleteTopic_destroy)?;
    let mut list = [old.get()];
    let operation = c::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DELETETOPICS;
    let event = ask(WHAT, through, operation, |client, options, queue| {
        // SAFETY: all are alive; the library copies the list.
        unsafe { c::rd_kafka_DeleteTopics(client, list.as_mut_ptr(), 1, options.get(), queue.get()) }
    })?;
    // SAFETY: everything read belongs to the event.
    unsafe {
        let mut count = 0;
        let result = c::rd_kafka_event_DeleteTopics_result(event.get());
        let results = c::rd_kafka_DeleteTopics_result_topics(result, &mut count);
        topic_results(
            WHAT,
            items(results, count),
            RDKafkaErrorCode::UnknownTopicOrPartition,
        )
    }
}

fn topic_resource(what: &'static str, topic: &str) -> Result<Owned<c::rd_kafka_ConfigResource_t>, Refusal> {
    let name = c_string(what, topic)?;
    // SAFETY: the library copies the name.
    let resource = unsafe {
        c::rd_kafka_ConfigResource_new(c::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_TOPIC, name.as_ptr())
    };
    Owned::new(what, resource, c::rd_kafka_ConfigResource_destroy)
}

/// # Safety
/// The results are alive.
unsafe fn resource_results(
    what: &'static str,
    results: &[*const c::rd_kafka_ConfigResource_t],
) -> Result<(), Refusal> {
    for result in results {
        // SAFETY: as the caller says.
        let (code, why) = unsafe {
            (
                c::rd_kafka_ConfigResource_error(*result),
                text(c::rd_kafka_ConfigResource_error_string(*result)),
            )
        };
        refused(what, code, why)?;
    }
    Ok(())
}

/// Sets some settings of a topic and leaves the others as they are.
pub(in super::super) fn configure_topic(
    through: Through<'_>,
    topic: &str,
    settings: &[(String, String)],
) -> Result<(), Refusal> {
    const WHAT: &str = "configuring a topic";
    let resource = topic_resource(WHAT, topic)?;
    for (key, value) in settings {
        let (key, value) = (c_string(WHAT, key)?, c_string(WHAT, value)?);
        let set = c::rd_kafka_AlterConfigOpType_t::RD_KAFKA_ALTER_CONFIG_OP_TYPE_SET;
        // SAFETY: the library copies both; the error, if any, is owned here.
        unsafe {
            let error = c::rd_kafka_ConfigResource_add_incremental_config(
                resource.get(),
                key.as_ptr(),
                set,
                value.as_ptr(),
            );
            if !error.is_null() {
                let error = Owned::new(WHAT, error, c::rd_kafka_error_destroy)?;
                check(WHAT, error.get())?;
            }
        }
    }
    let mut list = [resource.get()];
    let operation = c::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_INCREMENTALALTERCONFIGS;
    let event = ask(WHAT, through, operation, |client, options, queue| {
        // SAFETY: all are alive; the library copies the list.
        unsafe {
            c::rd_kafka_IncrementalAlterConfigs(client, list.as_mut_ptr(), 1, options.get(), queue.get())
        }
    })?;
    // SAFETY: everything read belongs to the event.
    unsafe {
        let mut count = 0;
        let result = c::rd_kafka_event_IncrementalAlterConfigs_result(event.get());
        let results = c::rd_kafka_IncrementalAlterConfigs_result_resources(result, &mut count);
        resource_results(WHAT, items(results, count))
    }
}

/// All settings of a topic as they are in force.
pub(in super::super) fn topic_settings(
    through: Through<'_>,
    topic: &str,
) -> Result<Vec<(String, String)>, Refusal> {
    const WHAT: &str = "asking for a topic's settings";
    let resource = topic_resource(WHAT, topic)?;
    let mut list = [resource.get()];
    let operation = c::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS;
    let event = ask(WHAT, through, operation, |client, options, queue| {
        // SAFETY: all are alive; the library copies the list.
        unsafe { c::rd_kafka_DescribeConfigs(client, list.as_mut_ptr(), 1, options.get(), queue.get()) }
    })?;
    let mut settings = Vec::new();
    // SAFETY: everything read belongs to the event.
    unsafe {
        let mut count = 0;
        let result = c::rd_kafka_event_DescribeConfigs_result(event.get());
        let results = items(
            c::rd_kafka_DescribeConfigs_result_resources(result, &mut count),
            count,
        );
        resource_results(WHAT, results)?;
        for resource in results {
            let mut count = 0;
            for entry in items(c::rd_kafka_ConfigResource_configs(*resource, &mut count), count) {
                settings.push((
                    text(c::rd_kafka_ConfigEntry_name(*entry)),
                    text(c::rd_kafka_ConfigEntry_value(*entry)),
                ));
            }
        }
    }
    Ok(settings)
}
