//! Which addresses may be dialled: the rules against requests into the inside of a network. Pure.
