"""Health and models as the Open Inference Protocol (KServe v2) has them."""
