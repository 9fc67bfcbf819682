"""The client without its input and output: operations say what they need, and drivers do it.

An operation is a generator (`Flow`). It yields steps, such as a request to send, and is sent what came of
them. So every operation is written once, and the synchronous and the asynchronous client both drive it.
"""
