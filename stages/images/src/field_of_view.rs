pub fn field_of_view(_: &[u8], _: usize, _: usize) -> Option<Vec<u8>> {
    None
}
