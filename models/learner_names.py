"""What can learn an output, by the names a patch uses."""

NETWORK = "network"
CLASS_LEARNERS = ("knn", "svm", "forest", "boosting", "bayes", "linear")
CONTINUOUS_LEARNERS = ("knn", "svm", "forest", "boosting", "linear", "polynomial")
"""scikit-learn's, beside our network."""
