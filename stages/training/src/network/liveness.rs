//! How long each map of a network is needed: which node reads it last, forward and backward. Computed once from the structure.

use super::node::{Block, Node, NodeId, Supervised};

/// When maps can be freed. All lists are indexed by node.
#[derive(Debug, Default)]
pub(super) struct Liveness {
    /// Maps whose last reader in their own block's forward pass is this node.
    pub free_in_block: Vec<Vec<NodeId>>,
    /// Maps whose last reader in the whole forward pass is this node.
    pub free_forward: Vec<Vec<NodeId>>,
    /// Maps whose last reader in the evaluation's forward pass is this node.
    pub free_evaluation: Vec<Vec<NodeId>>,
    /// Maps that the backward pass of this node reads.
    pub backward: Vec<Vec<NodeId>>,
    /// Maps that no backward pass reads after this node's.
    pub free_backward: Vec<Vec<NodeId>>,
    /// True for a map that a backward pass reads.
    pub is_saved: Vec<bool>,
    /// True for a map that another block reads.
    pub is_output: Vec<bool>,
    /// True for the logits of a head.
    pub is_head: Vec<bool>,
    /// True for a node that the prediction or a supervised head depends on.
    pub is_run: Vec<bool>,
    /// True for a node that the prediction depends on.
    pub is_predicting: Vec<bool>,
    /// True for a node whose gradient is wanted, because something before it is trained.
    pub is_trained: Vec<bool>,
    /// How many times a node is read by nodes that contribute to its gradient.
    pub readers: Vec<usize>,
}

/// The maps behind a node: its own, or those that a norm covers.
pub(super) fn maps_of(nodes: &[Node], node: NodeId) -> Vec<NodeId> {
    match &nodes[node] {
        Node::Norm { inputs, .. } => inputs.clone(),
        Node::Images | Node::Layer { .. } => vec![node],
    }
}

impl Liveness {
    pub fn of(nodes: &[Node], blocks: &[Block], logits: NodeId, supervised: &[Supervised]) -> Self {
        let count = nodes.len();
        let block = |node: NodeId| blocks.iter().position(|block| block.nodes.contains(&node));
        let mut live = Self {
            is_saved: vec![false; count],
            is_output: vec![false; count],
            is_head: vec![false; count],
            is_run: vec![false; count],
            is_predicting: vec![false; count],
            is_trained: vec![false; count],
            readers: vec![0; count],
            backward: vec![Vec::new(); count],
            ..Self::default()
        };
        live.is_head[logits] = true;
        supervised.iter().for_each(|head| live.is_head[head.node] = true);
        live.is_predicting = before(nodes, [logits]);
        live.is_run = before(nodes, supervised.iter().map(|head| head.node).chain([logits]));
        let (mut in_block, mut forward, mut evaluation) = (own(count), own(count), own(count));
        let mut last_backward: Vec<Option<NodeId>> = vec![None; count];
        for (node, what) in nodes.iter().enumerate() {
            live.is_trained[node] = match what {
                Node::Images => false,
                // A layer without weights passes on whether anything before it is trained.
                Node::Layer { layer, inputs } => {
                    layer.rules().keeps().inputs || inputs.iter().any(|&input| live.is_trained[input])
                }
                Node::Norm { .. } => true,
            };
            let read: Vec<NodeId> = what.inputs().iter().flat_map(|&input| maps_of(nodes, input)).collect();
            for &map in &read {
                if live.is_predicting[node] {
                    evaluation[map] = node;
                }
                if !live.is_run[node] {
                    continue;
                }
                forward[map] = node;
                if block(map) == block(node) {
                    in_block[map] = node;
                } else {
                    live.is_output[map] = true;
                }
            }
            if !live.is_run[node] {
                continue;
            }
            let mut needed = match what {
                Node::Images => Vec::new(),
                Node::Norm { inputs, .. } => inputs.clone(),
                Node::Layer { layer, .. } => {
                    let keeps = layer.rules().keeps();
                    let inputs = if keeps.inputs || keeps.inputs_for_gradient { read } else { Vec::new() };
                    inputs.into_iter().chain(keeps.output.then_some(node)).collect()
                }
            };
            needed.sort_unstable();
            needed.dedup();
            for &map in &needed {
                live.is_saved[map] = true;
                // Backward passes run in reverse order, so the first node that reads a map is the last to need it.
                last_backward[map].get_or_insert(node);
            }
            live.backward[node] = needed;
            for &input in what.inputs() {
                live.readers[input] += 1;
            }
        }
        live.free_in_block = ending(&in_block);
        live.free_forward = ending(&forward);
        live.free_evaluation = ending(&evaluation);
        live.free_backward = vec![Vec::new(); count];
        for (map, last) in last_backward.iter().enumerate() {
            live.free_backward[last.unwrap_or(map)].push(map);
        }
        live
    }
}

/// Marks the given nodes and all nodes that they depend on.
fn before(nodes: &[Node], ends: impl IntoIterator<Item = NodeId>) -> Vec<bool> {
    let mut before = vec![false; nodes.len()];
    ends.into_iter().for_each(|end| before[end] = true);
    for node in (0..nodes.len()).rev() {
        if before[node] {
            nodes[node].inputs().iter().for_each(|&input| before[input] = true);
        }
    }
    before
}

/// Initially each node is its own last reader, until a later reader is found.
fn own(count: usize) -> Vec<NodeId> {
    (0..count).collect()
}

/// Inverts the list: from the last reader of each map to the maps that each node reads last.
fn ending(last: &[NodeId]) -> Vec<Vec<NodeId>> {
    let mut ending = vec![Vec::new(); last.len()];
    last.iter().enumerate().for_each(|(map, &node)| ending[node].push(map));
    ending
}
