//! System calls that are refused, as a sandbox does it.

use std::collections::BTreeMap;

/// A filter that answers EPERM to one system call and lets all others pass.
pub(crate) fn forbid(call: i64) {
    use seccompiler::{SeccompAction, SeccompFilter};
    let arch = std::env::consts::ARCH.try_into().unwrap();
    let (allow, deny) = (SeccompAction::Allow, SeccompAction::Errno(1));
    let filter = SeccompFilter::new(BTreeMap::from([(call, vec![])]), allow, deny, arch).unwrap();
    let program: seccompiler::BpfProgram = filter.try_into().unwrap();
    seccompiler::apply_filter(&program).unwrap();
}
