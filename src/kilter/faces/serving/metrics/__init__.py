"""What a serving process shows of itself: metrics, the delay of its loop, traces."""
