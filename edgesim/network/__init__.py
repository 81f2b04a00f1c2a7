"""The network: transfers over links that share their bandwidth over many hops, max-min fairly or in order."""
