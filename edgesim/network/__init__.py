"""The network: transfers over links that share their bandwidth max-min fairly over many hops."""
