//! The part of the library's administration that has no safe interface: topic ids, incremental changes of
//! configuration, positions of groups, access rules.
//!
//! Every pointer that is made here is given to an owner at once, and every string that is read is copied.

#![allow(
    unsafe_code,
    reason = "librdkafka's C interface is the only way to these requests"
)]

use std::ffi::{CStr, CString, c_char};
use std::ptr::{self, NonNull};
use std::time::Duration;

use rdkafka::bindings as c;
use rdkafka::error::RDKafkaErrorCode;

use super::super::errors::Refusal;
use super::{AccessRule, Operation, Resource, TopicState};

/// A client that requests go through. Valid as long as the producer that it was taken from.
#[derive(Clone, Copy)]
pub(super) struct Through<'a> {
    client: *mut c::rd_kafka_t,
    deadline: Duration,
    _alive: std::marker::PhantomData<&'a ()>,
}

impl<'a> Through<'a> {
    /// Requests through the client of that producer.
    pub(super) fn new<C, P>(producer: &'a P, deadline: Duration) -> Self
    where
        C: rdkafka::producer::ProducerContext + 'static,
        P: rdkafka::producer::Producer<C>,
    {
        Self {
            client: producer.client().native_ptr(),
            deadline,
            _alive: std::marker::PhantomData,
        }
    }
}

/// An owned C object with its destructor.
struct Owned<T> {
    pointer: NonNull<T>,
    destroy: unsafe extern "C" fn(*mut T),
}

impl<T> Owned<T> {
    fn new(
        what: &'static str,
        pointer: *mut T,
        destroy: unsafe extern "C" fn(*mut T),
    ) -> Result<Self, Refusal> {
        let pointer = NonNull::new(pointer).ok_or_else(|| local(what, "the request is not understood"))?;
        Ok(Self { pointer, destroy })
    }

    fn get(&self) -> *mut T {
        self.pointer.as_ptr()
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: the pointer came from the matching constructor and is destroyed here only.
        unsafe { (self.destroy)(self.pointer.as_ptr()) }
    }
}

fn local(what: &'static str, why: &str) -> Refusal {
    Refusal {
        what,
        why: why.to_owned(),
        code: None,
    }
}

fn c_string(what: &'static str, text: &str) -> Result<CString, Refusal> {
    CString::new(text).map_err(|_| local(what, "a name or value has a zero byte"))
}

/// # Safety
/// `text` is null or a C string that lives during the call.
unsafe fn text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: as the caller says.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// # Safety
/// `items` points to `count` items that live as long as what borrows the result.
unsafe fn items<'a, T>(items: *const T, count: usize) -> &'a [T] {
    if items.is_null() || count == 0 {
        return &[];
    }
    // SAFETY: as the caller says.
    unsafe { std::slice::from_raw_parts(items, count) }
}

fn refused(what: &'static str, code: c::rd_kafka_resp_err_t, why: String) -> Result<(), Refusal> {
    let code: RDKafkaErrorCode = code.into();
    if code == RDKafkaErrorCode::NoError {
        return Ok(());
    }
    let why = if why.is_empty() { code.to_string() } else { why };
    Err(Refusal {
        what,
        why,
        code: Some(code),
    })
}

/// # Safety
/// `error` is null or an error object that lives during the call.
unsafe fn check(what: &'static str, error: *const c::rd_kafka_error_t) -> Result<(), Refusal> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: not null, alive.
    let (code, why) = unsafe {
        (
            c::rd_kafka_error_code(error),
            text(c::rd_kafka_error_string(error)),
        )
    };
    refused(what, code, why)
}

type Event = Owned<c::rd_kafka_event_t>;
type Options = Owned<c::rd_kafka_AdminOptions_t>;
type Queue = Owned<c::rd_kafka_queue_t>;

/// Sends one request and waits for its answer.
fn ask(
    what: &'static str,
    through: Through<'_>,
    operation: c::rd_kafka_admin_op_t,
    send: impl FnOnce(*mut c::rd_kafka_t, &Options, &Queue),
) -> Result<Event, Refusal> {
    let millis = i32::try_from(through.deadline.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: the client lives as long as `through`; what is made is owned.
    let (queue, options) = unsafe {
        let queue = c::rd_kafka_queue_new(through.client);
        let options = c::rd_kafka_AdminOptions_new(through.client, operation);
        (
            Owned::new(what, queue, c::rd_kafka_queue_destroy)?,
            Owned::new(what, options, c::rd_kafka_AdminOptions_destroy)?,
        )
    };
    let mut why = [0 as c_char; 256];
    // SAFETY: `why` has the length that is told.
    unsafe {
        c::rd_kafka_AdminOptions_set_request_timeout(options.get(), millis, why.as_mut_ptr(), why.len());
        if matches!(
            operation,
            c::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_CREATETOPICS
                | c::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DELETETOPICS
        ) {
            // Wait until all brokers know.
            c::rd_kafka_AdminOptions_set_operation_timeout(
                options.get(),
                millis,
                why.as_mut_ptr(),
                why.len(),
            );
        }
    }
    send(through.client, &options, &queue);
    // SAFETY: the queue is alive. The library answers within its own time limit; a second more is for slow threads.
    let event = unsafe { c::rd_kafka_queue_poll(queue.get(), millis.saturating_add(1000)) };
    if event.is_null() {
        return Err(Refusal {
            what,
            why: "no answer in time".to_owned(),
            code: Some(RDKafkaErrorCode::OperationTimedOut),
        });
    }
    let event = Owned::new(what, event, c::rd_kafka_event_destroy)?;
    // SAFETY: the event is alive.
    let (code, why) = unsafe {
        (
            c::rd_kafka_event_error(event.get()),
            text(c::rd_kafka_event_error_string(event.get())),
        )
    };
    refused(what, code, why)?;
    Ok(event)
}

/// Id and number of partitions of topics; those that are not there are left out.
pub(super) fn describe_topics(through: Through<'_>, topics: &[String]) -> Result<Vec<TopicState>, Refusal> {
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
pub(super) fn create_topic(
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
pub(super) fn delete_topic(through: Through<'_>, topic: &str) -> Result<(), Refusal> {
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
pub(super) fn configure_topic(
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
pub(super) fn topic_settings(through: Through<'_>, topic: &str) -> Result<Vec<(String, String)>, Refusal> {
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

/// The stored positions of a group: topic, partition, next offset.
pub(super) fn group_offsets(through: Through<'_>, group: &str) -> Result<Vec<(String, i32, i64)>, Refusal> {
    const WHAT: &str = "asking for a group's positions";
    let name = c_string(WHAT, group)?;
    // SAFETY: the library copies the name; no list means all partitions.
    let request = unsafe { c::rd_kafka_ListConsumerGroupOffsets_new(name.as_ptr(), ptr::null()) };
    let request = Owned::new(WHAT, request, c::rd_kafka_ListConsumerGroupOffsets_destroy)?;
    let mut list = [request.get()];
    let operation = c::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS;
    let event = ask(WHAT, through, operation, |client, options, queue| {
        // SAFETY: all are alive; the library copies the list.
        unsafe {
            c::rd_kafka_ListConsumerGroupOffsets(client, list.as_mut_ptr(), 1, options.get(), queue.get())
        }
    })?;
    let mut offsets = Vec::new();
    // SAFETY: everything read belongs to the event.
    unsafe {
        let mut count = 0;
        let result = c::rd_kafka_event_ListConsumerGroupOffsets_result(event.get());
        for group in items(
            c::rd_kafka_ListConsumerGroupOffsets_result_groups(result, &mut count),
            count,
        ) {
            match check(WHAT, c::rd_kafka_group_result_error(*group)) {
                Ok(()) => {}
                Err(refusal) if refusal.code == Some(RDKafkaErrorCode::GroupIdNotFound) => continue,
                Err(refusal) => return Err(refusal),
            }
            let list = c::rd_kafka_group_result_partitions(*group);
            if list.is_null() {
                continue;
            }
            let count = usize::try_from((*list).cnt).unwrap_or_default();
            for place in items((*list).elems, count) {
                refused(WHAT, place.err, String::new())?;
                if place.offset >= 0 {
                    offsets.push((text(place.topic), place.partition, place.offset));
                }
            }
        }
    }
    Ok(offsets)
}

/// Wakes a thread that waits in a consumer's `poll`.
pub(in super::super) fn wake<C: rdkafka::ClientContext>(client: &rdkafka::client::Client<C>) {
    // SAFETY: the client is alive; the queue is given back at once.
    unsafe {
        let queue = c::rd_kafka_queue_get_consumer(client.native_ptr());
        if !queue.is_null() {
            c::rd_kafka_queue_yield(queue);
            c::rd_kafka_queue_destroy(queue);
        }
    }
}

/// Sends positions to be stored. The outcome comes as an event of the consumer: a plain asynchronous commit of the
/// library would tell nobody.
pub(in super::super) fn commit<C: rdkafka::ClientContext>(
    client: &rdkafka::client::Client<C>,
    positions: &rdkafka::TopicPartitionList,
) -> Result<(), Refusal> {
    const WHAT: &str = "storing positions";
    // SAFETY: the client and the list are alive, the library copies the list; the queue is given back by its owner.
    let code = unsafe {
        let queue = c::rd_kafka_queue_get_consumer(client.native_ptr());
        let queue = Owned::new(WHAT, queue, c::rd_kafka_queue_destroy)?;
        c::rd_kafka_commit_queue(
            client.native_ptr(),
            positions.ptr(),
            queue.get(),
            None,
            ptr::null_mut(),
        )
    };
    refused(WHAT, code, String::new())
}

const fn operation(operation: Operation) -> c::rd_kafka_AclOperation_t {
    match operation {
        Operation::Read => c::rd_kafka_AclOperation_t::RD_KAFKA_ACL_OPERATION_READ,
        Operation::Write => c::rd_kafka_AclOperation_t::RD_KAFKA_ACL_OPERATION_WRITE,
        Operation::Describe => c::rd_kafka_AclOperation_t::RD_KAFKA_ACL_OPERATION_DESCRIBE,
    }
}

fn parts(resource: &Resource) -> (c::rd_kafka_ResourceType_t, &str) {
    match resource {
        Resource::Topic(name) => (c::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_TOPIC, name),
        Resource::Group(name) => (c::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_GROUP, name),
    }
}

/// Allows what the rules say. A rule that is there already is fine.
pub(super) fn create_rules(through: Through<'_>, rules: &[AccessRule]) -> Result<(), Refusal> {
    const WHAT: &str = "making access rules";
    let mut bindings = Vec::with_capacity(rules.len());
    let mut why = [0 as c_char; 256];
    for rule in rules {
        let (kind, name) = parts(&rule.resource);
        let (name, principal) = (c_string(WHAT, name)?, c_string(WHAT, &rule.principal)?);
        // SAFETY: the library copies the strings; `why` has the length that is told.
        let binding = unsafe {
            c::rd_kafka_AclBinding_new(
                kind,
                name.as_ptr(),
                c::rd_kafka_ResourcePatternType_t::RD_KAFKA_RESOURCE_PATTERN_LITERAL,
                principal.as_ptr(),
                c"*".as_ptr(),
                operation(rule.operation),
                c::rd_kafka_AclPermissionType_t::RD_KAFKA_ACL_PERMISSION_TYPE_ALLOW,
                why.as_mut_ptr(),
                why.len(),
            )
        };
        bindings.push(Owned::new(WHAT, binding, c::rd_kafka_AclBinding_destroy)?);
    }
    let mut list: Vec<_> = bindings.iter().map(Owned::get).collect();
    let kind = c::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_CREATEACLS;
    let event = ask(WHAT, through, kind, |client, options, queue| {
        // SAFETY: all are alive; the library copies the list.
        unsafe { c::rd_kafka_CreateAcls(client, list.as_mut_ptr(), list.len(), options.get(), queue.get()) }
    })?;
    // SAFETY: everything read belongs to the event.
    unsafe {
        let mut count = 0;
        let result = c::rd_kafka_event_CreateAcls_result(event.get());
        for result in items(c::rd_kafka_CreateAcls_result_acls(result, &mut count), count) {
            check(WHAT, c::rd_kafka_acl_result_error(*result))?;
        }
    }
    Ok(())
}

/// All rules that allow one of our operations on a topic or group by its own name.
pub(super) fn rules(through: Through<'_>) -> Result<Vec<AccessRule>, Refusal> {
    const WHAT: &str = "asking for access rules";
    let mut why = [0 as c_char; 256];
    // SAFETY: nothing is named, so everything is asked for; `why` has the length that is told.
    let filter = unsafe {
        c::rd_kafka_AclBindingFilter_new(
            c::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_ANY,
            ptr::null(),
            c::rd_kafka_ResourcePatternType_t::RD_KAFKA_RESOURCE_PATTERN_LITERAL,
            ptr::null(),
            ptr::null(),
            c::rd_kafka_AclOperation_t::RD_KAFKA_ACL_OPERATION_ANY,
            c::rd_kafka_AclPermissionType_t::RD_KAFKA_ACL_PERMISSION_TYPE_ALLOW,
            why.as_mut_ptr(),
            why.len(),
        )
    };
    let filter = Owned::new(WHAT, filter, c::rd_kafka_AclBinding_destroy)?;
    let kind = c::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBEACLS;
    let event = ask(WHAT, through, kind, |client, options, queue| {
        // SAFETY: all are alive; the library copies the filter.
        unsafe { c::rd_kafka_DescribeAcls(client, filter.get(), options.get(), queue.get()) }
    })?;
    let mut rules = Vec::new();
    // SAFETY: everything read belongs to the event.
    unsafe {
        let mut count = 0;
        let result = c::rd_kafka_event_DescribeAcls_result(event.get());
        for rule in items(c::rd_kafka_DescribeAcls_result_acls(result, &mut count), count) {
            let name = text(c::rd_kafka_AclBinding_name(*rule));
            let resource = match c::rd_kafka_AclBinding_restype(*rule) {
                c::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_TOPIC => Resource::Topic(name),
                c::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_GROUP => Resource::Group(name),
                _ => continue,
            };
            let operation = match c::rd_kafka_AclBinding_operation(*rule) {
                c::rd_kafka_AclOperation_t::RD_KAFKA_ACL_OPERATION_READ => Operation::Read,
                c::rd_kafka_AclOperation_t::RD_KAFKA_ACL_OPERATION_WRITE => Operation::Write,
                c::rd_kafka_AclOperation_t::RD_KAFKA_ACL_OPERATION_DESCRIBE => Operation::Describe,
                _ => continue,
            };
            rules.push(AccessRule {
                principal: text(c::rd_kafka_AclBinding_principal(*rule)),
                resource,
                operation,
            });
        }
    }
    Ok(rules)
}
