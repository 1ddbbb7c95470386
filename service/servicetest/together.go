package servicetest

import "sync"

// Together makes n calls, 25 at a time.
func Together(n int, call func(i int)) {
	var calls sync.WaitGroup
	next := make(chan int)
	for range min(n, 25) {
		calls.Go(func() {
			for i := range next {
				call(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	calls.Wait()
}
