"""Rankers that are made of rankers: a `Cascade` of stages, a `Failover`; made of any, knowing none of them."""
