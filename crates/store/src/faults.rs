//! Faults that tests put into the filter, each at one of its places, to prove that the guard sees what they let pass.

/// Where the filter is off.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// The decision lets every project pass.
    Decision,
    /// Members who are no more stay in the index of members.
    Members,
    /// A change of facts does not begin a new epoch.
    Epoch,
    /// The set of graphs has all of them.
    Graphs,
    /// Quads of hidden graphs are given.
    Scan,
    /// Names of hidden projects are found.
    Names,
    /// Denials are not looked at.
    Denials,
    /// Facts come in, and the row that the filter decides by stays as it was.
    Access,
}

#[cfg(test)]
thread_local! {
    static ON: std::cell::Cell<Option<Fault>> = const { std::cell::Cell::new(None) };
}

/// Whether a test has put this fault in.
#[cfg(test)]
pub(crate) fn is_on(fault: Fault) -> bool {
    ON.get() == Some(fault)
}

/// Never, but in tests.
#[cfg(not(test))]
#[inline(always)]
pub(crate) const fn is_on(_: Fault) -> bool {
    false
}

/// Puts a fault in, or takes it out.
#[cfg(test)]
pub(crate) fn put(fault: Option<Fault>) {
    ON.set(fault);
}
