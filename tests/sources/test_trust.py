"""What is trusted is said for a block, and for the threads that we start inside it."""

from inspector.sources.headers import read_headers
from inspector.trust import is_code_trusted, trusting


def test_our_own_threads_see_what_is_trusted():
    seen = []

    def read(_name, _budget):
        seen.append(is_code_trusted())
        return 0, ()

    with trusting(trust_remote_code=True):
        read_headers(["a", "b", "c"], read, threads=2)
    read_headers(["a"], read, threads=2)
    assert seen == [True, True, True, False]
