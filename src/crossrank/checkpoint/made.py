"""config.json of a family at any size, as its authors' tools write it: for models that are made on the spot.

It knows config.json's keys; no weights, tokenizers or known models.
"""

from typing import Any

from crossrank.checkpoint.families import FAMILIES

# What tells checkpoints whose code would come with them, as it stands in their config.json.
MINICPM = {
    "model_type": "minicpm",
    "auto_map": {"AutoModelForCausalLM": "modeling_minicpm_reranker.LayerWiseMiniCPMForCausalLM"},
    "scale_emb": 12,
    "scale_depth": 1.4,
    "dim_model_base": 256,
    "start_layer": 1,
    "head_type": "simple",
    "head_multi": True,
}
FLASH = {
    "model_type": "xlm-roberta",
    "auto_map": {
        "AutoConfig": "configuration_xlm_roberta.XLMRobertaFlashConfig",
        "AutoModelForSequenceClassification": "modeling_xlm_roberta.XLMRobertaForSequenceClassification",
    },
    "use_flash_attn": True,
}


def config_of(
    family: str,
    *,
    hidden: int,
    heads: int,
    layers: int,
    intermediate: int,
    vocabulary: int,
    max_length: int,
    pad_id: int,
) -> dict[str, Any]:
    """A reranker of the family with its own head; what is peculiar to the family is as small as tests want it.

    Args:
        family: any of `crossrank.checkpoint.families.FAMILIES`.
        hidden: width; ELECTRA's embeddings are narrower, so that it has a projection.
        heads: attention heads; must divide `hidden`.
        layers: transformer layers.
        intermediate: width of the feed-forward layers.
        vocabulary: rows of the embeddings.
        max_length: tokens the model can read.
        pad_id: of the padding.
    """
    return {
        "architectures": [FAMILIES[family].architecture],
        "model_type": family,
        "hidden_size": hidden,
        "num_attention_heads": heads,
        "num_hidden_layers": layers,
        "intermediate_size": intermediate,
        "vocab_size": vocabulary,
        "max_position_embeddings": max_length,
        "pad_token_id": pad_id,
        "id2label": {"0": "LABEL_0"},
        "label2id": {"LABEL_0": 0},
        **_own(family, hidden=hidden, max_length=max_length),
    }


def _own(family: str, *, hidden: int, max_length: int) -> dict[str, Any]:
    """What config.json holds beside what it does for every family."""
    match FAMILIES[family].tensors:
        case "modernbert":  # as on the hub; transformers 5 writes other keys
            return {
                "hidden_activation": "gelu",
                "norm_eps": 1e-5,
                "local_attention": 16,
                "global_attn_every_n_layers": 3,
                "global_rope_theta": 160000.0,
                "local_rope_theta": 10000.0,
                "classifier_pooling": "mean",
            }
        case "deberta":  # as DeBERTa v3
            return {
                "hidden_act": "gelu",
                "layer_norm_eps": 1e-7,
                "type_vocab_size": 0,
                "relative_attention": True,
                "max_relative_positions": -1,
                "position_buckets": 8,
                "norm_rel_ebd": "layer_norm",
                "share_att_key": True,
                "pos_att_type": "p2c|c2p",
                "position_biased_input": False,
                "pooler_hidden_act": "gelu",
                "pooler_hidden_size": hidden,
            }
        case "decoder":
            return {
                "num_key_value_heads": 1,
                "hidden_act": "gelu" if family == "gemma" else "silu",
                "rms_norm_eps": 1e-6,
                "rope_theta": 10000.0,
                **({"head_dim": 16} if family not in ("qwen2", "minicpm-layerwise") else {}),  # wider than a share
                **(MINICPM if family == "minicpm-layerwise" else {}),
            }
        case "jina-bert":
            return {
                "model_type": "bert",
                "auto_map": {"AutoModelForSequenceClassification": "modeling_bert.JinaBertForSequenceClassification"},
                "position_embedding_type": "alibi",
                "feed_forward_type": "geglu",
                "type_vocab_size": 2,
                "hidden_act": "gelu",
                "layer_norm_eps": 1e-12,
            }
    past_padding = FAMILIES[family].positions_from_padding
    return {
        "max_position_embeddings": max_length + 2 * past_padding,
        "type_vocab_size": 1 if past_padding else 2,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-5 if past_padding else 1e-12,
        **({"embedding_size": hidden // 2} if family == "electra" else {}),
        **(FLASH if family == "xlm-roberta-flash" else {}),
    }
