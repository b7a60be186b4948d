//! The lab over real sockets.

#[cfg(test)]
mod client;
#[cfg(test)]
mod load;
#[cfg(test)]
mod payments;
#[cfg(test)]
mod receiver;
