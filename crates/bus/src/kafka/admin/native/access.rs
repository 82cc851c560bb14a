//! Access rules.

use std::ffi::c_char;
use std::ptr;

use rdkafka::bindings as c;

use super::super::super::errors::Refusal;
use super::super::{AccessRule, Operation, Resource};
use super::{Owned, Through, ask, c_string, check, items, text};

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
pub(in super::super) fn create_rules(through: Through<'_>, rules: &[AccessRule]) -> Result<(), Refusal> {
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
pub(in super::super) fn rules(through: Through<'_>) -> Result<Vec<AccessRule>, Refusal> {
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
