//! System calls that are refused, as a sandbox does it: by a seccomp filter, which belongs to a thread
//! and is inherited by what it starts.

use std::panic::resume_unwind;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};

/// A call, and when it is refused: always, if there is no rule.
pub(crate) type Call = (i64, Vec<SeccompRule>);

pub(crate) const EPERM: SeccompAction = SeccompAction::Errno(libc::EPERM.cast_unsigned());

/// Always.
pub(crate) fn always(call: i64) -> Call {
    (call, Vec::new())
}

/// Where an argument has this value, looked at through a mask.
pub(crate) fn when(call: i64, argument: u8, mask: u64, value: u64) -> Call {
    let op = SeccompCmpOp::MaskedEq(mask);
    let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Qword, op, value).unwrap();
    (call, vec![SeccompRule::new(vec![condition]).unwrap()])
}

/// Answers so to these calls, and lets all others pass.
pub(crate) fn refuse(answer: SeccompAction, calls: impl IntoIterator<Item = Call>) -> BpfProgram {
    let arch = std::env::consts::ARCH.try_into().unwrap();
    let calls = calls.into_iter().collect();
    SeccompFilter::new(calls, SeccompAction::Allow, answer, arch).unwrap().try_into().unwrap()
}

/// Does this in a thread of its own, behind these filters.
pub(crate) fn behind<T: Send>(filters: &[BpfProgram], run: impl FnOnce() -> T + Send) -> T {
    let inside = || {
        for filter in filters {
            seccompiler::apply_filter(filter).unwrap();
        }
        run()
    };
    std::thread::scope(|scope| scope.spawn(inside).join()).unwrap_or_else(|e| resume_unwind(e))
}
