"""From a trained network to numbers and pictures: scores, metrics, intervals, neighbours, mixtures, plots."""
