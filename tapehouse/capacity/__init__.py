"""`tapehouse capacity`: what a rate of orders needs, worked out from measured costs."""
