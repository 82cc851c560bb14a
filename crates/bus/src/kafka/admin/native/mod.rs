//! The part of the library's administration that has no safe interface: topic ids, incremental changes of
//! configuration, positions of groups, access rules.
//!
//! Every pointer that is made here is given to an owner at once, and every string that is read is copied.

#![allow(
    unsafe_code,
    reason = "librdkafka's C interface is the only way to these requests"
)]

mod access;
mod groups;
mod topics;

use std::ffi::{CStr, CString, c_char};
use std::ptr::NonNull;
use std::time::Duration;

use rdkafka::bindings as c;
use rdkafka::error::RDKafkaErrorCode;

pub(super) use access::{create_rules, rules};
pub(super) use groups::set_group_offsets;
pub(in super::super) use groups::{commit, wake};
pub(super) use topics::{configure_topic, create_topic, delete_topic, describe_topics, topic_settings};

use super::super::errors::Refusal;

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
