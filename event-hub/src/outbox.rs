//! Events written in the transaction of what they tell, and sent from there.
